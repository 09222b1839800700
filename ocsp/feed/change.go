package feed

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"
)

// A State is what a certificate became.
type State string

// The states of a [Change].
const (
	Revoked  State = "revoked"
	Held     State = "held"     // revoked, and may become good again
	Released State = "released" // good again
)

// A Change is one change of a certificate's status.
type Change struct {
	Epoch  uint64    `json:"epoch"`  // its place in the list, from 1
	Issuer string    `json:"issuer"` // name of the issuing CA
	Serial string    `json:"serial"` // hexadecimal, as math/big writes it
	State  State     `json:"state"`
	Reason int       `json:"reason"` // reason code of RFC 5280 section 5.3.1
	At     time.Time `json:"at"`     // since when, whole seconds
}

// A Hash is that of a list of changes: of the hash before, and the text of the last change. That of no changes is zero.
type Hash [sha256.Size]byte

// Next returns the hash of a list with one more change.
func (h Hash) Next(c Change) Hash {
	text := fmt.Sprintf("%s %d %s %s %s %d %d\n", base64.StdEncoding.EncodeToString(h[:]), c.Epoch, c.Issuer, c.Serial, c.State, c.Reason, c.At.Unix())
	return sha256.Sum256([]byte(text))
}

// A Checkpoint says how many changes there are, which, and until when that is to be believed.
type Checkpoint struct {
	Origin  string // whose list: NETWORK/status
	Epoch   uint64 // number of changes
	Hash    Hash   // of the list of them
	Expires time.Time
}

// Sign returns the signed note of a checkpoint.
func (c Checkpoint) Sign(key ed25519.PrivateKey) ([]byte, error) {
	verifier, err := VerifierKey(c.Origin, key)
	if err != nil {
		return nil, err
	}
	_, rest, _ := strings.Cut(verifier, "+")
	number, _, _ := strings.Cut(rest, "+")
	signer, err := note.NewSigner("PRIVATE+KEY+" + c.Origin + "+" + number + "+" + base64.StdEncoding.EncodeToString(append([]byte{1}, key.Seed()...)))
	if err != nil {
		return nil, fmt.Errorf("signing a checkpoint: %w", err)
	}
	text := fmt.Sprintf("%s\n%d\n%s\n%d\n", c.Origin, c.Epoch, base64.StdEncoding.EncodeToString(c.Hash[:]), c.Expires.Unix())
	return note.Sign(&note.Note{Text: text}, signer)
}

// VerifierKey returns the key that checkpoints verify with, in the text form of package note.
func VerifierKey(origin string, key ed25519.PrivateKey) (string, error) {
	public, ok := key.Public().(ed25519.PublicKey)
	if !ok {
		return "", errors.New("status key: want Ed25519")
	}
	return note.NewEd25519VerifierKey(origin, public)
}

// ParseCheckpoint verifies a signed note and reads the checkpoint. That it has not expired is for the caller to look at.
func ParseCheckpoint(signed []byte, verifierKey string) (Checkpoint, error) {
	verifier, err := note.NewVerifier(verifierKey)
	if err != nil {
		return Checkpoint{}, fmt.Errorf("verifier key %q: %w", verifierKey, err)
	}
	n, err := note.Open(signed, note.VerifierList(verifier))
	if err != nil {
		return Checkpoint{}, fmt.Errorf("verifying a checkpoint: %w", err)
	}
	lines := strings.Split(n.Text, "\n")
	if len(lines) != 5 || lines[4] != "" {
		return Checkpoint{}, fmt.Errorf("checkpoint of %d lines, want origin, epoch, hash and expiry", len(lines)-1)
	}
	c := Checkpoint{Origin: lines[0]}
	if c.Origin != verifier.Name() {
		return Checkpoint{}, fmt.Errorf("checkpoint of %q, want %s", c.Origin, verifier.Name())
	}
	epoch, err := strconv.ParseUint(lines[1], 10, 62)
	if err != nil || strconv.FormatUint(epoch, 10) != lines[1] {
		return Checkpoint{}, fmt.Errorf("checkpoint has epoch %q, want a number", lines[1])
	}
	hash, err := base64.StdEncoding.Strict().DecodeString(lines[2])
	if err != nil || len(hash) != sha256.Size {
		return Checkpoint{}, fmt.Errorf("checkpoint has hash %q, want %d octets in base64", lines[2], sha256.Size)
	}
	expires, err := strconv.ParseInt(lines[3], 10, 62)
	if err != nil || expires <= 0 {
		return Checkpoint{}, fmt.Errorf("checkpoint expires at %q, want seconds since 1970", lines[3])
	}
	c.Epoch, c.Hash, c.Expires = epoch, Hash(hash), time.Unix(expires, 0).UTC()
	return c, nil
}
