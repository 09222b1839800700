package ca

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/payca/payca/ca/audit"
	"github.com/payca/payca/policy"
)

// Tokens is the one-time enrollment tokens. They are redeemed by
// [IssuanceStore.Issue] and [Approvals.AddRequest] only.
type Tokens interface {
	// AddToken records a token; ErrExists.
	AddToken(ctx context.Context, t Token, event audit.Event) error
	// Token finds a token, whatever became of it; ErrNotFound.
	Token(ctx context.Context, id string) (Token, error)
	// Tokens yields the tokens by ascending id, after the given id.
	Tokens(ctx context.Context, after string) iter.Seq2[Token, error]
	// CancelToken ends a token that nobody used. ErrNotFound; *TokenUsedError; *TokenCancelledError for one that was cancelled before.
	CancelToken(ctx context.Context, id string, c TokenCancellation, event audit.Event) error
	// Collect deletes at most limit tokens, whatever became of them, whose NotAfter, in whole seconds, is before the
	// given time, and returns how many. A token that is gone redeems nothing: to the store it is unknown. Nothing else is
	// ever deleted: a closed intent is only its revocation, which stands for good, and certificates and log stay.
	Collect(ctx context.Context, before time.Time, limit int) (int, error)
}

// A Token is a one-time right to enroll one party under one profile.
type Token struct {
	ID        string             `json:"id"`
	Party     string             `json:"party"`
	Profile   string             `json:"profile"`
	Request   string             `json:"request,omitempty"` // SHA-256 of the only request (PKCS#10, DER) that may redeem it, hexadecimal
	Key       string             `json:"key,omitempty"`     // SHA-256 of the only public key (SubjectPublicKeyInfo) it is for, hexadecimal
	Digest    string             `json:"digest,omitempty"`  // SHA-256 of the token as it was handed out, hexadecimal; "" for one that only its signature proves
	Created   time.Time          `json:"created,omitzero"`
	NotAfter  time.Time          `json:"not_after"`
	By        string             `json:"by"` // who made it
	Used      *TokenUse          `json:"used,omitempty"`
	Cancelled *TokenCancellation `json:"cancelled,omitempty"`
}

// A TokenUse says who redeemed a token, from where and when, and for which certificate.
type TokenUse struct {
	Party  string    `json:"party"`
	From   string    `json:"from"`
	At     time.Time `json:"at"`
	Serial Serial    `json:"serial,omitzero"`
	// Request is the id of the approval request that the token was used for; then there is no Serial.
	Request string `json:"request,omitempty"`
}

// A TokenCancellation says who ended a token, and when.
type TokenCancellation struct {
	By string    `json:"by"` // as in audit.Event.Actor
	At time.Time `json:"at"`
}

// The states of a [Token].
const (
	TokenOpen      = "open"
	TokenUsed      = "used"
	TokenCancelled = "cancelled"
	TokenExpired   = "expired"
)

// State says what became of the token.
func (t *Token) State(now time.Time) string {
	switch {
	case t.Used != nil:
		return TokenUsed
	case t.Cancelled != nil:
		return TokenCancelled
	case !now.Before(t.NotAfter):
		return TokenExpired
	}
	return TokenOpen
}

// Spent says why nobody can redeem the token any more: a *[TokenUsedError], a *[TokenCancelledError], or nil.
func (t *Token) Spent() error {
	switch {
	case t.Used != nil:
		return &TokenUsedError{ID: t.ID, By: *t.Used}
	case t.Cancelled != nil:
		return &TokenCancelledError{ID: t.ID, By: *t.Cancelled}
	}
	return nil
}

// A TokenUsedError refuses the second use of a one-time token and says who had the first.
type TokenUsedError struct {
	ID string   // token id
	By TokenUse // the first use
}

// Error says by whom, from where and when the token was used.
func (e *TokenUsedError) Error() string {
	return fmt.Sprintf("token %s was used by %s from %s at %s", e.ID, e.By.Party, e.By.From, e.By.At.UTC().Format(time.RFC3339))
}

// A TokenCancelledError refuses a token that was cancelled.
type TokenCancelledError struct {
	ID string // token id
	By TokenCancellation
}

// Error says by whom and when the token was cancelled.
func (e *TokenCancelledError) Error() string {
	return fmt.Sprintf("token %s was cancelled by %s at %s", e.ID, e.By.By, e.By.At.UTC().Format(time.RFC3339))
}

// tokenSpent says whether an error is that of a token which nobody can redeem any more.
func tokenSpent(err error) bool {
	return errors.As(err, new(*TokenUsedError)) || errors.As(err, new(*TokenCancelledError))
}

// checkToken refuses a token that is not for this request. That it is used only once is decided
// by the store, in the commit of the issuance.
func (a *Authority) checkToken(ctx context.Context, ap *application) error {
	t, err := a.cfg.Store.Token(ctx, ap.Token)
	if errors.Is(err, ErrNotFound) {
		return unknownToken(ap.Token)
	}
	if err != nil {
		return fmt.Errorf("looking up token %q: %w", ap.Token, err)
	}
	if err := t.Spent(); err != nil {
		return err
	}
	if t.Profile == "" {
		t.Profile = policy.DefaultProfile(ap.party.Role)
	}
	if ap.Profile == "" {
		ap.Profile = t.Profile
	}
	vs := t.binds(ap.CSR)
	if t.Party != ap.Party {
		vs = append(vs, violation("token-party", "party", fmt.Sprintf("%q", ap.Party), "the party that the token names")...)
	}
	if t.Profile != ap.Profile {
		vs = append(vs, violation("token-profile", "profile", fmt.Sprintf("%q", clip(ap.Profile)), fmt.Sprintf("%q, which the token names", t.Profile))...)
	}
	if !ap.now.Before(t.NotAfter) {
		vs = append(vs, violation("token-expired", "token", "expired at "+t.NotAfter.UTC().Format(time.RFC3339), "a token that is still valid")...)
	}
	if vs != nil {
		return vs
	}
	return nil
}

// binds refuses a request that is not the one, or not for the key, that the token is bound to.
func (t *Token) binds(csr []byte) (vs policy.Violations) {
	if t.Request != "" {
		if sum := sha256.Sum256(csr); hex.EncodeToString(sum[:]) != t.Request {
			vs = append(vs, violation("token-request", "csr", fmt.Sprintf("request sha256:%x", sum), "request sha256:"+t.Request+", which the token is bound to")...)
		}
	}
	if t.Key != "" {
		got := "a request that has no readable key"
		if parsed, err := x509.ParseCertificateRequest(csr); err == nil {
			sum := sha256.Sum256(parsed.RawSubjectPublicKeyInfo)
			if hex.EncodeToString(sum[:]) == t.Key {
				return vs
			}
			got = fmt.Sprintf("key sha256:%x", sum)
		}
		vs = append(vs, violation("token-binding", "csr.publicKey", got, "key sha256:"+t.Key+", which the token is bound to")...)
	}
	return vs
}

func unknownToken(id string) policy.Violations {
	return violation("token-known", "token", fmt.Sprintf("%q", clip(id)), "a token of this CA")
}
