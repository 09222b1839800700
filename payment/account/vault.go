package account

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// A Vault encrypts what an issuing bank must not keep in clear. Its key is in a file of its own, so that a copy of
// the store alone gives no account number away.
type Vault struct {
	aead  cipher.AEAD
	index []byte // key of Index
}

// keySize is of the vault's key: AES-256.
const keySize = 32

// OpenVault reads the key file, and makes it (mode 0600) if there is none.
func OpenVault(path string) (*Vault, error) {
	raw, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		raw = make([]byte, keySize)
		rand.Read(raw) // never fails
		var f *os.File
		if f, err = os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600); err == nil {
			_, err = f.Write(raw)
			err = errors.Join(err, f.Sync(), f.Close())
		}
	}
	if err != nil {
		return nil, fmt.Errorf("opening the vault: %w", err)
	}
	if len(raw) != keySize {
		return nil, fmt.Errorf("vault key %s has %d octets, want %d", path, len(raw), keySize)
	}
	block, err := aes.NewCipher(derive(raw, "payca vault encryption"))
	if err != nil {
		return nil, err
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, err
	}
	return &Vault{aead: aead, index: derive(raw, "payca vault index")}, nil
}

// derive makes a key for one purpose (NIST SP 800-108 with HMAC, one block).
func derive(key []byte, purpose string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(purpose))
	return h.Sum(nil)
}

// Seal encrypts data that belongs to id; another id cannot open it.
func (v *Vault) Seal(id string, data []byte) []byte {
	return v.aead.Seal(nil, nil, data, []byte(id)) //nolint:gosec // the AEAD makes a random nonce of its own
}

// Open decrypts what Seal made for the same id.
func (v *Vault) Open(id string, sealed []byte) ([]byte, error) {
	data, err := v.aead.Open(nil, nil, sealed, []byte(id))
	if err != nil {
		return nil, fmt.Errorf("opening what the vault keeps for %s: %w", id, err)
	}
	return data, nil
}

// Index returns the name under which a number can be found: the same for the same number, and telling
// nothing without the key.
func (v *Vault) Index(n Number) string {
	h := hmac.New(sha256.New, v.index)
	h.Write([]byte(n.Reveal()))
	return base64.RawURLEncoding.EncodeToString(h.Sum(nil))
}
