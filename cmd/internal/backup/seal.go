package backup

import (
	"bufio"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/payca/payca/ca"
)

// The numbers of the format. The derivation is that of the key files.
const (
	magic      = "payca backup 1\n"
	saltSize   = 16
	macSize    = sha256.Size
	headerSize = len(magic) + saltSize + 4 + macSize
	keySize    = 32
	maxRounds  = 2_000_000 // so that a hostile file cannot burn the CPU: about a second
	chunkSize  = 64 << 10
	tagSize    = 16
)

// ErrPassphrase says that a file does not open: the passphrase is another, or the file's header is damaged.
var ErrPassphrase = errors.New("wrong passphrase, or a damaged header")

// A FormatError says that a file is no backup that this program reads.
type FormatError struct{ Got string }

// Error says what was found and what is wanted.
func (e *FormatError) Error() string {
	return "the file " + e.Got + fmt.Sprintf(", want one that begins with %q", magic)
}

// A DamageError says that a file was changed or cut off after it was written.
type DamageError struct{ What string }

// Error says what is wrong.
func (e *DamageError) Error() string { return "the backup is damaged: " + e.What }

func damaged(format string, args ...any) error {
	return &DamageError{What: fmt.Sprintf(format, args...)}
}

// keys derives the keys that a header asks for.
func keys(passphrase, salt []byte, rounds int) (mac []byte, aead cipher.AEAD, err error) {
	secret, err := pbkdf2.Key(sha256.New, string(passphrase), salt, rounds, keySize)
	if err != nil {
		return nil, nil, err
	}
	mac, err = hkdf.Expand(sha256.New, secret, "payca backup header", keySize)
	if err != nil {
		return nil, nil, err
	}
	key, err := hkdf.Expand(sha256.New, secret, "payca backup chunks", keySize)
	if err != nil {
		return nil, nil, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, nil, err
	}
	aead, err = cipher.NewGCM(block)
	return mac, aead, err
}

func macOf(key, header []byte) []byte {
	h := hmac.New(sha256.New, key)
	h.Write(header)
	return h.Sum(nil)
}

// A stream is the state that both directions share.
type stream struct {
	aead   cipher.AEAD
	header []byte
	next   uint64 // number of the next chunk
}

// nonce returns the nonce of the next chunk, and counts it.
func (s *stream) nonce(last bool) []byte {
	var n [12]byte
	binary.BigEndian.PutUint64(n[3:11], s.next)
	if last {
		n[11] = 1
	}
	s.next++
	return n[:]
}

// Seal returns a writer that encrypts to w. Close writes the last chunk; it does not close w.
func Seal(w io.Writer, passphrase []byte) (io.WriteCloser, error) {
	return seal(w, passphrase, ca.SealRounds)
}

func seal(w io.Writer, passphrase []byte, rounds int) (io.WriteCloser, error) {
	if len(passphrase) == 0 {
		return nil, errors.New("sealing a backup: the passphrase is empty")
	}
	header := make([]byte, 0, headerSize)
	header = append(header, magic...)
	header = header[:len(magic)+saltSize]
	rand.Read(header[len(magic):]) // never fails
	salt := header[len(magic):]
	header = binary.BigEndian.AppendUint32(header, uint32(rounds))
	mac, aead, err := keys(passphrase, salt, rounds)
	if err != nil {
		return nil, fmt.Errorf("sealing a backup: %w", err)
	}
	header = append(header, macOf(mac, header)...)
	if _, err := w.Write(header); err != nil {
		return nil, err
	}
	return &sealer{stream: stream{aead: aead, header: header}, w: w, buffer: make([]byte, 0, chunkSize+tagSize)}, nil
}

// A sealer encrypts chunk by chunk. A full chunk waits until it is known whether it is the last.
type sealer struct {
	stream
	w      io.Writer
	buffer []byte
	err    error
}

// Write implements io.Writer.
func (s *sealer) Write(p []byte) (n int, err error) {
	for len(p) > 0 && s.err == nil {
		if len(s.buffer) == chunkSize {
			s.flush(false)
			continue
		}
		taken := min(len(p), chunkSize-len(s.buffer))
		s.buffer = append(s.buffer, p[:taken]...)
		p, n = p[taken:], n+taken
	}
	return n, s.err
}

func (s *sealer) flush(last bool) {
	sealed := s.aead.Seal(s.buffer[:0], s.nonce(last), s.buffer, s.header)
	_, s.err = s.w.Write(sealed)
	s.buffer = s.buffer[:0]
}

// Close writes the last chunk.
func (s *sealer) Close() error {
	if s.err != nil {
		return s.err
	}
	s.flush(true)
	err := s.err
	s.err = errors.Join(err, errors.New("the backup is closed"))
	return err
}

// Open reads the header of a backup file and returns a reader of what was sealed. A *[FormatError],
// [ErrPassphrase], or from the reader a *[DamageError].
func Open(r io.Reader, passphrase []byte) (io.Reader, error) {
	header := make([]byte, headerSize)
	n, err := io.ReadFull(r, header)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, fmt.Errorf("reading the backup: %w", err)
	}
	if err := checkMagic(header[:n]); err != nil {
		return nil, err
	}
	if n < headerSize {
		return nil, damaged("it ends after %d octets, in its header", n)
	}
	salt, rest := header[len(magic):len(magic)+saltSize], header[len(magic)+saltSize:]
	rounds := binary.BigEndian.Uint32(rest)
	if rounds < 1 || rounds > maxRounds {
		return nil, damaged("%d rounds of PBKDF2, want 1 to %d", rounds, maxRounds)
	}
	mac, aead, err := keys(passphrase, salt, int(rounds))
	if err != nil {
		return nil, fmt.Errorf("opening the backup: %w", err)
	}
	if !hmac.Equal(rest[4:], macOf(mac, header[:headerSize-macSize])) {
		return nil, ErrPassphrase
	}
	return &opener{
		stream: stream{aead: aead, header: header}, r: bufio.NewReader(r), buffer: make([]byte, chunkSize+tagSize),
	}, nil
}

// checkMagic wants the first line to be that of this format and version.
func checkMagic(header []byte) error {
	text := string(header)
	if strings.HasPrefix(text, magic) {
		return nil
	}
	name, version, _ := strings.Cut(magic, "1")
	if other, found := strings.CutPrefix(text, name); found {
		if number, _, ended := strings.Cut(other, version); ended && number != "" && len(number) < 6 && strings.Trim(number, "0123456789") == "" {
			return &FormatError{Got: "is a backup of format version " + number}
		}
	}
	if strings.HasPrefix(magic, text) {
		return damaged("it ends after %d octets, in its header", len(header))
	}
	return &FormatError{Got: "is no backup of payca"}
}

// An opener decrypts chunk by chunk.
type opener struct {
	stream
	r      *bufio.Reader
	buffer []byte
	plain  []byte // authenticated, and not read yet
	err    error  // once the chunks are over
}

// Read implements io.Reader.
func (o *opener) Read(p []byte) (int, error) {
	for len(o.plain) == 0 && o.err == nil {
		o.err = o.chunk()
	}
	if len(o.plain) == 0 {
		return 0, o.err
	}
	n := copy(p, o.plain)
	o.plain = o.plain[n:]
	return n, nil
}

// chunk opens the next chunk; io.EOF if it is the last.
func (o *opener) chunk() error {
	n, err := io.ReadFull(o.r, o.buffer)
	last := errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
	if err != nil && !last {
		return fmt.Errorf("reading the backup: %w", err)
	}
	if !last {
		_, err := o.r.Peek(1)
		if last = errors.Is(err, io.EOF); err != nil && !last {
			return fmt.Errorf("reading the backup: %w", err)
		}
	}
	number := o.next
	if n < tagSize || n == tagSize && number > 0 {
		return damaged("it ends before its last chunk, after %d whole ones", number)
	}
	plain, err := o.aead.Open(o.buffer[:0], o.nonce(last), o.buffer[:n], o.header)
	switch {
	case err != nil && last:
		return damaged("its end, from chunk %d on, was changed or cut off", number)
	case err != nil:
		return damaged("chunk %d was changed or moved", number)
	}
	o.plain = plain
	if last {
		return io.EOF
	}
	return nil
}
