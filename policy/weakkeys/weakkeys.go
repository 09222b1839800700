package weakkeys

import (
	"bufio"
	"bytes"
	"cmp"
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
)

const (
	tailSize = 10 // octets at the end of a SHA-1
	headSize = 16 // octets of a SHA-256 that are kept: 2^-64 is the chance that one of 2^64 sound keys is refused

	maxLine    = 200
	maxEntries = 20 << 20
)

// A List is the fingerprints of one file. Nothing changes it.
type List struct {
	name  string
	tails [][tailSize]byte // of SHA-1("Modulus=" HEX "\n"), sorted
	heads [][headSize]byte // of SHA-256, sorted
}

// Read reads a list; name is what errors and [List.Find] call it. The error names the line.
func Read(r io.Reader, name string) (*List, error) {
	l := &List{name: name}
	scanner := bufio.NewScanner(r)
	scanner.Buffer(make([]byte, 0, 4096), maxLine)
	for number := 1; scanner.Scan(); number++ {
		line := bytes.TrimSpace(scanner.Bytes())
		if len(line) == 0 || line[0] == '#' {
			continue
		}
		if err := l.add(line); err != nil {
			return nil, fmt.Errorf("%s:%d: %w", name, number, err)
		}
	}
	if err := scanner.Err(); errors.Is(err, bufio.ErrTooLong) {
		return nil, fmt.Errorf("%s: a line of more than %d octets, want one fingerprint a line", name, maxLine)
	} else if err != nil {
		return nil, fmt.Errorf("reading %s: %w", name, err)
	}
	if l.Len() == 0 {
		return nil, fmt.Errorf("%s: no fingerprint in it, want at least one", name)
	}
	slices.SortFunc(l.tails, func(a, b [tailSize]byte) int { return bytes.Compare(a[:], b[:]) })
	slices.SortFunc(l.heads, func(a, b [headSize]byte) int { return bytes.Compare(a[:], b[:]) })
	return l, nil
}

// add takes one line: the length says which kind of fingerprint it is.
func (l *List) add(line []byte) error {
	var sum [sha256.Size]byte
	n, err := 0, error(nil)
	if len(line) == 2*tailSize || len(line) == 2*sha256.Size {
		n, err = hex.Decode(sum[:], line)
	}
	switch {
	case err == nil && n == tailSize:
		l.tails = append(l.tails, [tailSize]byte(sum[:tailSize]))
	case err == nil && n == sha256.Size:
		l.heads = append(l.heads, [headSize]byte(sum[:headSize]))
	default:
		return fmt.Errorf("%.80q, want 20 hexadecimal digits (the end of a SHA-1) or 64 (a SHA-256)", line)
	}
	if l.Len() > maxEntries {
		return fmt.Errorf("more than %d fingerprints, want fewer in one list", maxEntries)
	}
	return nil
}

// Name returns the name of the list.
func (l *List) Name() string { return l.name }

// Len returns the number of fingerprints.
func (l *List) Len() int { return len(l.tails) + len(l.heads) }

// Has says whether the list has the key.
func (l *List) Has(pub crypto.PublicKey) bool { return l.has(fingerprint(pub)) }

func (l *List) has(tails [][tailSize]byte, heads [][headSize]byte) bool {
	return slices.ContainsFunc(tails, func(t [tailSize]byte) bool {
		_, found := slices.BinarySearchFunc(l.tails, t, func(a, b [tailSize]byte) int { return bytes.Compare(a[:], b[:]) })
		return found
	}) || slices.ContainsFunc(heads, func(h [headSize]byte) bool {
		_, found := slices.BinarySearchFunc(l.heads, h, func(a, b [headSize]byte) int { return bytes.Compare(a[:], b[:]) })
		return found
	})
}

// Finder returns a function that names the first of the lists that has a key, "" if none has. It is safe for concurrent use.
func Finder(lists ...*List) func(crypto.PublicKey) string {
	return func(pub crypto.PublicKey) string {
		if len(lists) == 0 {
			return ""
		}
		tails, heads := fingerprint(pub)
		for _, l := range lists {
			if l.has(tails, heads) {
				return cmp.Or(l.name, "without a name")
			}
		}
		return ""
	}
}

// fingerprint is all that a list may say of a key.
func fingerprint(pub crypto.PublicKey) (tails [][tailSize]byte, heads [][headSize]byte) {
	head := func(data []byte) {
		sum := sha256.Sum256(data)
		heads = append(heads, [headSize]byte(sum[:headSize]))
	}
	switch key := pub.(type) {
	case *rsa.PublicKey:
		sum := sha1.Sum(fmt.Appendf(nil, "Modulus=%X\n", key.N))
		tails = append(tails, [tailSize]byte(sum[sha1.Size-tailSize:]))
		head(key.N.Bytes())
	case *ecdsa.PublicKey:
		if point, err := key.Bytes(); err == nil {
			head(point[1 : 1+(len(point)-1)/2])
		}
	}
	if spki, err := x509.MarshalPKIXPublicKey(pub); err == nil {
		head(spki)
	}
	return tails, heads
}
