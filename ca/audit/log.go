package audit

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// Config says whose log it is and who signs its heads.
type Config struct {
	Origin string        // first line of every head: "pay.example/ca"
	Signer crypto.Signer // Ed25519
}

// A Log appends events to the log that a host store keeps. It holds no state
// of its own and is safe for concurrent use.
type Log struct {
	origin string
	signer headSigner
}

// New returns a log; it refuses a signer that is not Ed25519 and an origin that
// a note cannot carry.
func New(cfg Config) (*Log, error) {
	if cfg.Signer == nil {
		return nil, errors.New("audit log: want a Signer")
	}
	public, ok := cfg.Signer.Public().(ed25519.PublicKey)
	if !ok {
		return nil, fmt.Errorf("audit log: signer is %T, want Ed25519", cfg.Signer.Public())
	}
	if cfg.Origin == "" || !utf8.ValidString(cfg.Origin) || strings.ContainsFunc(cfg.Origin, unfit) {
		return nil, fmt.Errorf("audit log: origin %q, want a name without spaces or plus signs", cfg.Origin)
	}
	return &Log{origin: cfg.Origin, signer: headSigner{name: cfg.Origin, key: cfg.Signer, public: public}}, nil
}

// unfit says whether a note has no room for the character in a name.
func unfit(r rune) bool { return r == '+' || unicode.IsSpace(r) || unicode.IsControl(r) }

// Append adds events as the next leaves and returns the index of the first.
func (l *Log) Append(tx Tx, events ...Event) (first uint64, err error) {
	first, err = tx.Size()
	if err != nil {
		return 0, fmt.Errorf("reading the size of the audit log: %w", err)
	}
	for i, event := range events {
		leaf, err := event.encode()
		if err != nil {
			return 0, fmt.Errorf("encoding an audit event: %w", err)
		}
		index := first + uint64(i)
		hashes, err := tlog.StoredHashes(int64(index), leaf, tx)
		if err != nil {
			return 0, fmt.Errorf("hashing audit entry %d: %w", index, err)
		}
		if err := tx.Put(index, leaf, hashes); err != nil {
			return 0, fmt.Errorf("writing audit entry %d: %w", index, err)
		}
	}
	return first, nil
}

// Seal signs the head over all leaves of the transaction and stores it. The
// host calls it once, at the end of a transaction that appended.
func (l *Log) Seal(tx Tx) (head []byte, err error) {
	size, err := tx.Size()
	if err != nil {
		return nil, fmt.Errorf("reading the size of the audit log: %w", err)
	}
	root, err := tlog.TreeHash(int64(size), tx)
	if err != nil {
		return nil, fmt.Errorf("computing the root of the audit log: %w", err)
	}
	text := l.origin + "\n" + strconv.FormatUint(size, 10) + "\n" + base64.StdEncoding.EncodeToString(root[:]) + "\n"
	head, err = note.Sign(&note.Note{Text: text}, l.signer)
	if err != nil {
		return nil, fmt.Errorf("signing the head of the audit log: %w", err)
	}
	return head, tx.SetHead(head)
}

// VerifierKey returns the key that heads are verified with, in the text form of package note.
func (l *Log) VerifierKey() string {
	return fmt.Sprintf("%s+%08x+%s", l.signer.name, l.signer.KeyHash(), base64.StdEncoding.EncodeToString(l.signer.keyBytes()))
}

// headSigner signs notes with any Ed25519 crypto.Signer (C2SP signed-note).
type headSigner struct {
	name   string
	key    crypto.Signer
	public ed25519.PublicKey
}

// Name implements note.Signer.
func (s headSigner) Name() string { return s.name }

// keyBytes is the algorithm, 1 for Ed25519, and the public key.
func (s headSigner) keyBytes() []byte { return append([]byte{1}, s.public...) }

// KeyHash implements note.Signer.
func (s headSigner) KeyHash() uint32 {
	sum := sha256.Sum256(append([]byte(s.name+"\n"), s.keyBytes()...))
	return binary.BigEndian.Uint32(sum[:])
}

// Sign implements note.Signer.
func (s headSigner) Sign(msg []byte) ([]byte, error) {
	return s.key.Sign(rand.Reader, msg, crypto.Hash(0))
}

// ParseEvent decodes a leaf.
func ParseEvent(leaf []byte) (Event, error) {
	var event Event
	if err := decode(leaf, &event); err != nil {
		return Event{}, fmt.Errorf("decoding an audit event: %w", err)
	}
	return event, nil
}

// decode reads one JSON value and nothing else, without members that v lacks.
func decode(raw []byte, v any) error {
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(v); err != nil {
		return err
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return errors.New("want nothing after it")
	}
	return nil
}
