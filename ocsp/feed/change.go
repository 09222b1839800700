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

	Invalidity time.Time `json:"invalidity,omitzero"` // since when the key is suspected, whole seconds; zero if not known
}

// A Hash is that of a list of changes: of the hash before, and the text of the last change. That of no changes is zero.
type Hash [sha256.Size]byte

// Next returns the hash of a list with one more change.
func (h Hash) Next(c Change) Hash {
	text := fmt.Sprintf("%s %d %s %s %s %d %d", base64.StdEncoding.EncodeToString(h[:]), c.Epoch, c.Issuer, c.Serial, c.State, c.Reason, c.At.Unix())
	if !c.Invalidity.IsZero() {
		text += fmt.Sprintf(" %d", c.Invalidity.Unix())
	}
	return sha256.Sum256([]byte(text + "\n"))
}

// A Checkpoint says how many changes there are, which, and until when that is to be believed.
type Checkpoint struct {
	Origin  string // whose list: NETWORK/status
	Epoch   uint64 // number of changes
	Hash    Hash   // of the list of them
	Expires time.Time
	Signed  time.Time // when it was signed: there were no more changes then
}

// Sign returns the signed note of a checkpoint.
func (c Checkpoint) Sign(key ed25519.PrivateKey) ([]byte, error) {
	signed, err := sign(c.Origin, fmt.Sprintf("%s\n%d\n%s\n%d\n%d\n", c.Origin, c.Epoch, base64.StdEncoding.EncodeToString(c.Hash[:]), c.Expires.Unix(), c.Signed.Unix()), key)
	if err != nil {
		return nil, fmt.Errorf("signing a checkpoint: %w", err)
	}
	return signed, nil
}

// sign makes a note in the name of an origin.
func sign(origin, text string, key ed25519.PrivateKey) ([]byte, error) {
	verifier, err := VerifierKey(origin, key)
	if err != nil {
		return nil, err
	}
	_, rest, _ := strings.Cut(verifier, "+")
	number, _, _ := strings.Cut(rest, "+")
	signer, err := note.NewSigner("PRIVATE+KEY+" + origin + "+" + number + "+" + base64.StdEncoding.EncodeToString(append([]byte{1}, key.Seed()...)))
	if err != nil {
		return nil, err
	}
	return note.Sign(&note.Note{Text: text}, signer)
}

// open verifies a note and returns the lines of its text, as many as are wanted, and the name of the key.
func open(signed []byte, verifierKey string, want int) (lines []string, name string, err error) {
	verifier, err := note.NewVerifier(verifierKey)
	if err != nil {
		return nil, "", fmt.Errorf("verifier key %q: %w", verifierKey, err)
	}
	n, err := note.Open(signed, note.VerifierList(verifier))
	if err != nil {
		return nil, "", err
	}
	lines = strings.Split(n.Text, "\n")
	if len(lines) != want+1 || lines[want] != "" {
		return nil, "", fmt.Errorf("%d lines, want %d", len(lines)-1, want)
	}
	return lines[:want], verifier.Name(), nil
}

// parseNumber reads what Sign wrote.
func parseNumber(what, text string) (uint64, error) {
	n, err := strconv.ParseUint(text, 10, 62)
	if err != nil || strconv.FormatUint(n, 10) != text {
		return 0, fmt.Errorf("%s %q, want a number", what, text)
	}
	return n, nil
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
	lines, name, err := open(signed, verifierKey, 5)
	if err != nil {
		return Checkpoint{}, fmt.Errorf("verifying a checkpoint of origin, epoch, hash, expiry and time: %w", err)
	}
	c := Checkpoint{Origin: lines[0]}
	if c.Origin != name {
		return Checkpoint{}, fmt.Errorf("checkpoint of %q, want %s", c.Origin, name)
	}
	if c.Epoch, err = parseNumber("checkpoint has epoch", lines[1]); err != nil {
		return Checkpoint{}, err
	}
	hash, err := base64.StdEncoding.Strict().DecodeString(lines[2])
	if err != nil || len(hash) != sha256.Size {
		return Checkpoint{}, fmt.Errorf("checkpoint has hash %q, want %d octets in base64", lines[2], sha256.Size)
	}
	expires, err := parseNumber("checkpoint expires at", lines[3])
	if err != nil {
		return Checkpoint{}, err
	}
	at, err := parseNumber("checkpoint was signed at", lines[4])
	if err != nil {
		return Checkpoint{}, err
	}
	if at >= expires {
		return Checkpoint{}, fmt.Errorf("checkpoint was signed at %d and expires at %d, want later", at, expires)
	}
	c.Hash, c.Expires, c.Signed = Hash(hash), time.Unix(int64(expires), 0).UTC(), time.Unix(int64(at), 0).UTC()
	return c, nil
}
