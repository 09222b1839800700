// Package backup is the form of a backup file: [Seal] encrypts a stream with a passphrase and
// [Open] decrypts it; [Writer] and [Read] are the archive of members inside.
//
// # The file
//
//	"payca backup 1\n"    the format and its version
//	16 octets             salt
//	4 octets              rounds of PBKDF2-HMAC-SHA-256, big endian
//	32 octets             HMAC-SHA-256 of all that stands before
//	chunks                AES-256-GCM of 64 KiB of the archive each, the last one of 1 octet to 64 KiB
//
// PBKDF2 gives a secret, and HKDF-SHA-256 of it the keys of HMAC and AES. The nonce of a chunk is
// its number, 11 octets, and one octet that is 1 for the last chunk and else 0; the header is the additional data. So a
// chunk that is changed, moved, left out or added is found, and so is an end that is missing.
//
// # The archive
//
// It is a tar of plain files, from a fixed set of names, each once. The last is the [Manifest],
// with the SHA-256 of every other.
//
// # Guarantees
//
// Nothing that was changed is handed out as if it was whole: [Open] yields a chunk after it was
// authenticated, and ends without an error only after the last one; [Read] returns a manifest only if it fits all
// members. Both use memory that does not grow with the file.
package backup
