package ca

import (
	"context"
	"encoding/hex"
	"fmt"
	"iter"
	"strings"
	"time"

	"github.com/payca/payca/ca/audit"
	"github.com/payca/payca/policy"
)

// Keys is what is known of public keys, each named by its [KeyHash].
type Keys interface {
	// Key says what is known of a public key; of one that nobody knows, nothing.
	Key(ctx context.Context, key KeyHash) (Key, error)
	// ChangeKey blocks a key, or revokes certificates of it, or both, in one commit: all or nothing. It returns
	// the revocations that it wrote. ErrExists if it was to block the key, which is blocked already, and nothing was to be
	// revoked. [CheckRevocation] applies to what c.Decide answers; its error is returned as it is.
	ChangeKey(ctx context.Context, c KeyChange) ([]Revocation, error)
	// UnblockKey takes a block back; ErrNotFound.
	UnblockKey(ctx context.Context, key KeyHash, event audit.Event) error
	// BlockedKeys yields the blocked keys by ascending hash, after the given one; all of them after the zero hash.
	BlockedKeys(ctx context.Context, after KeyHash) iter.Seq2[BlockedKey, error]
}

// A KeyChange is what is to happen to a key and its certificates.
type KeyChange struct {
	Key   KeyHash
	Block *BlockedKey // nil: not to block it
	Event audit.Event // of the block
	// Decide is asked of every certificate of the key, by ascending Index; nil leaves one as it is, and a nil function all of them. It
	// runs within the commit, so that no certificate of the key is issued between. So it is quick and uses no store. It
	// may run again, from the first certificate on.
	Decide func(Record) (*KeyRevocation, error)
}

// A KeyRevocation is the revocation of one certificate of a key, with its event.
type KeyRevocation struct {
	Revocation Revocation
	Event      audit.Event
}

// A KeyHash names a public key: the SHA-256 of its SubjectPublicKeyInfo.
type KeyHash [32]byte

// ParseKeyHash reads 64 hexadecimal digits; colons between them are let pass.
func ParseKeyHash(text string) (KeyHash, error) {
	var h KeyHash
	raw, err := hex.DecodeString(strings.ReplaceAll(text, ":", ""))
	if err != nil || len(raw) != len(h) {
		return h, fmt.Errorf("key %q, want the SHA-256 of a SubjectPublicKeyInfo, 64 hexadecimal digits", clip(text))
	}
	return KeyHash(raw), nil
}

// String returns the hash in hexadecimal digits.
func (h KeyHash) String() string { return hex.EncodeToString(h[:]) }

// MarshalText writes the hexadecimal digits.
func (h KeyHash) MarshalText() ([]byte, error) { return []byte(h.String()), nil }

// UnmarshalText reads what [ParseKeyHash] reads.
func (h *KeyHash) UnmarshalText(text []byte) (err error) {
	*h, err = ParseKeyHash(string(text))
	return err
}

// A BlockedKey is a key that an operator has blocked.
type BlockedKey struct {
	Key    KeyHash   `json:"key"`    // SHA-256 of the SubjectPublicKeyInfo
	Reason string    `json:"reason"` // in the operator's words
	By     string    `json:"by"`     // on whose word: as in audit.Event.Actor
	At     time.Time `json:"at"`     // UTC, whole seconds
}

// A Key is what is known of a public key.
type Key struct {
	Blocked     *BlockedKey // nil unless an operator has blocked it
	Compromised *Revocation // of one of its certificates, for keyCompromise; nil if there is none
	Newest      *Record     // the certificate that was issued last, nil if there is none
}

// A KeyBlock says which key nobody may have certified, and on whose word.
type KeyBlock struct {
	Key    KeyHash
	Reason string // in the operator's words, 1 to 256 printable characters
	By     string // on whose word: as in audit.Event.Actor
	From   string // remote address, "" for none
}

// BlockKey blocks a key: when it returns nil, nobody is issued a certificate for it any more. What was issued stands; to revoke it is
// for [Authority.Revoke]. The error wraps [ErrExists] if the key is blocked already.
func (a *Authority) BlockKey(ctx context.Context, req KeyBlock) (BlockedKey, error) {
	if err := req.check(); err != nil {
		return BlockedKey{}, err
	}
	blocked := BlockedKey{Key: req.Key, Reason: req.Reason, By: req.By, At: a.now()}
	_, err := a.cfg.Store.ChangeKey(context.WithoutCancel(ctx), KeyChange{Key: req.Key, Block: &blocked, Event: keyEvent(audit.KeyBlocked, req, a.now())})
	if err != nil {
		return BlockedKey{}, fmt.Errorf("blocking key %s: %w", req.Key, err)
	}
	return blocked, nil
}

// UnblockKey takes back an operator's block. A key that was reported compromised stays refused all the same.
// The error wraps [ErrNotFound] if no operator has blocked the key.
func (a *Authority) UnblockKey(ctx context.Context, req KeyBlock) error {
	if err := req.check(); err != nil {
		return err
	}
	err := a.cfg.Store.UnblockKey(context.WithoutCancel(ctx), req.Key, keyEvent(audit.KeyUnblocked, req, a.now()))
	if err != nil {
		return fmt.Errorf("unblocking key %s: %w", req.Key, err)
	}
	return nil
}

func keyEvent(kind audit.Kind, req KeyBlock, now time.Time) audit.Event {
	return audit.Event{
		Time: now, Kind: kind, Actor: clip(req.By), From: clip(req.From), Reason: req.Reason,
		Attrs: map[string]string{"key": req.Key.String()},
	}
}

func (b KeyBlock) check() error {
	if b.By == "" {
		return &policy.Violation{Rule: "key-block", Field: "by", Got: "empty", Want: "on whose word it is"}
	}
	if err := policy.CheckText(b.Reason, 256); err != nil {
		return &policy.Violation{Rule: "key-block", Field: "reason", Got: err.Error(), Want: "why, in 1 to 256 printable characters"}
	}
	return nil
}
