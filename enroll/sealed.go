package enroll

import (
	"cmp"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/payca/payca/policy"
)

// sealedSuffix is how the files of encryption keys end; THUMBPRINT.pem holds the key, its
// certificate and the issuer's, mode 0600. One file per key: there is nothing that a crash could mix up.
const sealedSuffix = ".pem"

// A sealed is a key that others seal to, with its certificate.
type sealed struct {
	path       string
	thumbprint string
	signer     *ecdsa.PrivateKey
	key        *ecdh.PrivateKey // the same key
	chain      []*x509.Certificate
	until      time.Time // when nothing sealed to it is awaited any more; zero for the current one
}

// over says whether the key has been replaced for long enough.
func (s sealed) over(now time.Time) bool { return !s.until.IsZero() && !now.Before(s.until) }

func newSealed(dir string, signer *ecdsa.PrivateKey, chain []*x509.Certificate) (sealed, error) {
	key, err := signer.ECDH()
	if err != nil {
		return sealed{}, err
	}
	thumbprint := Thumbprint(chain[0])
	return sealed{path: filepath.Join(dir, thumbprint+sealedSuffix), thumbprint: thumbprint, signer: signer, key: key, chain: chain}, nil
}

// save writes the file; it has its name when it is whole and on disk.
func (s sealed) save() error {
	dir := filepath.Dir(s.path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	der, err := x509.MarshalPKCS8PrivateKey(s.signer)
	if err != nil {
		return err
	}
	text := append(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), encodeCertificates(s.chain)...)
	return WriteFile(s.path, text, 0o600)
}

// readSealed reads the encryption keys of a party, the current one last; a directory that is not there has none.
func readSealed(dir string, id policy.Identity) ([]sealed, error) {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var held []sealed
	for _, entry := range entries {
		if !strings.HasSuffix(entry.Name(), sealedSuffix) {
			continue
		}
		s, err := readOne(dir, entry.Name())
		if err != nil {
			return nil, fmt.Errorf("%s: %w", filepath.Join(dir, entry.Name()), err)
		}
		if holder, err := policy.IdentityOf(s.chain[0], id.Network); err != nil || holder != id {
			return nil, fmt.Errorf("%s: the key is of %s, want one of %s: want another directory", s.path, s.chain[0].Subject, id)
		}
		held = append(held, s)
	}
	return inOrder(held), nil
}

func readOne(dir, name string) (sealed, error) {
	raw, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		return sealed{}, err
	}
	block, rest := pem.Decode(raw)
	if block == nil {
		return sealed{}, errors.New("want a PRIVATE KEY in PEM, then its certificate")
	}
	chain, err := parseCertificates(rest)
	if err != nil {
		return sealed{}, err
	}
	parsed, err := parseKey(block, chain[0])
	if err != nil {
		return sealed{}, err
	}
	signer, ok := parsed.(*ecdsa.PrivateKey)
	if !ok {
		return sealed{}, fmt.Errorf("got a key %T, want ECDSA", parsed)
	}
	s, err := newSealed(dir, signer, chain)
	if err == nil && filepath.Base(s.path) != name {
		err = fmt.Errorf("the certificate has the thumbprint %s, want the file to be named by it", s.thumbprint)
	}
	return s, err
}

// inOrder sorts keys by age and says until when each is needed: each is replaced by the next.
func inOrder(held []sealed) []sealed {
	slices.SortFunc(held, func(a, b sealed) int {
		return cmp.Or(a.chain[0].NotBefore.Compare(b.chain[0].NotBefore), strings.Compare(a.thumbprint, b.thumbprint))
	})
	for i := range held {
		held[i].until = time.Time{}
		if i+1 < len(held) {
			held[i].until = held[i+1].chain[0].NotBefore.Add(overlap)
		}
	}
	return held
}

// removeOver removes the files of keys that are over, and what a crash left of one
// that was being written. It returns the others.
func removeOver(dir string, held []sealed, now time.Time) ([]sealed, error) {
	var left []sealed
	var errs []error
	for _, s := range held {
		if !s.over(now) {
			left = append(left, s)
			continue
		}
		if err := os.Remove(s.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	entries, err := os.ReadDir(dir)
	errs = append(errs, err)
	for _, entry := range entries {
		if !strings.HasSuffix(entry.Name(), sealedSuffix+pending) {
			continue
		}
		if err := os.Remove(filepath.Join(dir, entry.Name())); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return left, errors.Join(append(errs, syncDir(dir))...)
}
