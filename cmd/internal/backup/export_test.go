package backup

// SealQuickly is Seal with so few rounds that a test can open thousands of files.
var SealQuickly = seal

// The numbers that tests count with.
const (
	HeaderSize   = headerSize
	ChunkSize    = chunkSize
	TagSize      = tagSize
	RoundsOffset = len(magic) + saltSize
)
