package audit

import (
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// A Head is what a signed head says.
type Head struct {
	Origin string    // whose log
	Size   uint64    // number of leaves
	Root   tlog.Hash // root of the tree over them
}

// A HeadError says why a signed head is not taken for the log's.
type HeadError struct {
	Err error // what is wrong with it
}

// Error says what is wrong with the head.
func (e *HeadError) Error() string { return e.Err.Error() }

// Unwrap returns the cause.
func (e *HeadError) Unwrap() error { return e.Err }

func headErrorf(format string, args ...any) error {
	return &HeadError{Err: fmt.Errorf(format, args...)}
}

// ParseHead verifies a signed head and returns what it says. It returns
// *[HeadError] for a head that the key did not sign, or that is none.
func ParseHead(head []byte, verifierKey string) (Head, error) {
	verifier, err := note.NewVerifier(verifierKey)
	if err != nil {
		return Head{}, fmt.Errorf("verifier key %q: %w", verifierKey, err)
	}
	n, err := note.Open(head, note.VerifierList(verifier))
	if err != nil {
		return Head{}, headErrorf("verifying the head of the audit log: %w", err)
	}
	// Package note takes more than one spelling of a signature: this is the one that is written.
	if _, err := base64.StdEncoding.Strict().DecodeString(n.Sigs[0].Base64); err != nil {
		return Head{}, headErrorf("verifying the head of the audit log: reading its signature: %w", err)
	}
	parsed, err := parseText(n.Text)
	if err == nil && parsed.Origin != verifier.Name() {
		err = headErrorf("head of the audit log is of %q, want %s", parsed.Origin, verifier.Name())
	}
	if err != nil {
		return Head{}, err
	}
	return parsed, nil
}

// parseText reads the text of a head, which is the start of a signed one.
func parseText(text string) (Head, error) {
	origin, rest, _ := strings.Cut(text, "\n")
	number, rest, _ := strings.Cut(rest, "\n")
	encoded, _, ended := strings.Cut(rest, "\n")
	size, err := strconv.ParseUint(number, 10, 62)
	if err != nil || !ended {
		return Head{}, headErrorf("head of the audit log says %q, want an origin, a size and a root", text)
	}
	root, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil || len(root) != tlog.HashSize {
		return Head{}, headErrorf("head of the audit log has root %q, want %d octets in base64", encoded, tlog.HashSize)
	}
	return Head{Origin: origin, Size: size, Root: tlog.Hash(root)}, nil
}
