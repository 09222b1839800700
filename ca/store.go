package ca

import (
	"context"
	"errors"
	"iter"
	"time"

	"github.com/payca/payca/ca/audit"
	"github.com/payca/payca/ocsp/feed"
	"github.com/payca/payca/policy"
)

// What a [Store] answers when the world is not as the caller thought.
var (
	ErrNotFound   = errors.New("not found")
	ErrExists     = errors.New("exists already")
	ErrSerialUsed = errors.New("serial was used before")
	ErrNoIntent   = errors.New("no open intent for the serial")
	ErrInactive   = errors.New("party is not active")
)

// A Store keeps what the CA knows, durably: when a method that writes returns
// nil, its effect survives a crash; when it returns an error, nothing of it
// is visible, unless the error wraps context.Canceled or DeadlineExceeded, when the
// effect is unknown and the caller looks it up. Every method is safe for concurrent use,
// and writes of concurrent callers may share one commit. A method that takes an
// audit.Event appends it to the log in the same commit as its effect.
// The suite in ca/storetest says the rest.
type Store interface {
	IssuanceStore
	StatusStore
	Inventory
	Registry
	Tokens
	Keys
	Rechecks
	Approvals
	Outbox

	// Append records events that change nothing else.
	Append(ctx context.Context, events ...audit.Event) error
	// Log reads the audit log.
	Log() audit.Reader
	// Close ends the store; calls under way finish first.
	Close() error
}

// IssuanceStore is what the issuance gate writes.
type IssuanceStore interface {
	// Reserve records, before anything is signed, that the serials are about to be
	// used: all or none. ErrSerialUsed if an intent, a certificate or a closed intent has one of them.
	Reserve(ctx context.Context, intents ...Intent) error
	// Unreserve forgets the open intents of serials under which nothing was signed. Serials without one are passed over.
	Unreserve(ctx context.Context, serials ...Serial) error
	// Issue turns the open intent of is.Record.Serial into an inventory record, redeems is.Token if it
	// is named and appends is.Event, all or nothing. It returns the record with
	// its Index, and settles the pending request is.Request, if it is named, as done. ErrNoIntent; *TokenUsedError; *TokenCancelledError; ErrNotFound for an
	// unknown token or request; *RequestSettledError; ErrInactive if the party is registered and not active; the
	// error of is.Admit; ErrSerialUsed for one of is.Ahead.
	Issue(ctx context.Context, is Issuance) (Record, error)
	// Intents lists the open intents, oldest first.
	Intents(ctx context.Context) ([]Intent, error)
	// CloseIntent ends an open intent that came to nothing: its serial is
	// revoked for good. ErrNoIntent.
	CloseIntent(ctx context.Context, rev Revocation, event audit.Event) error
}

// StatusStore is what the status service reads and revocation writes.
type StatusStore interface {
	// Status says what is known of a serial under the named issuer.
	// A serial that is unknown, only reserved, or another issuer's is not Issued.
	Status(ctx context.Context, issuer string, serial Serial) (Status, error)
	// Revoke records a revocation after [CheckRevocation] allowed it against
	// what stands. ErrNotFound if the issuer never issued the serial.
	Revoke(ctx context.Context, rev Revocation, event audit.Event) error
	// Release ends a hold at the given time, after [CheckRelease] allowed it: the certificate is good again.
	// ErrNotFound if the issuer never issued the serial.
	Release(ctx context.Context, issuer string, serial Serial, at time.Time, event audit.Event) error
	// Changes returns at most limit of the changes that Revoke and Release made, those after an epoch: the first
	// change of a store has epoch 1, each further one the next.
	Changes(ctx context.Context, after uint64, limit int) ([]feed.Change, error)
	// ChangeHead returns the epoch of the last change, and the hash of the list of all.
	ChangeHead(ctx context.Context) (epoch uint64, hash feed.Hash, err error)
	// Revocations yields the issuer's revocations by ascending serial.
	Revocations(ctx context.Context, issuer string) iter.Seq2[Revocation, error]
	// NextCRLNumber returns a number higher than every one returned before for
	// the issuer, recorded together with the event before it is returned. The
	// event gets the number as its attribute "number".
	NextCRLNumber(ctx context.Context, issuer string, event audit.Event) (uint64, error)
	// RaiseShards makes sure that the issuer's CRL has at least that many shards, and returns how many it
	// has. The event is recorded if that changes anything.
	RaiseShards(ctx context.Context, issuer string, atLeast int, event audit.Event) (int, error)
	// Raise makes sure that nothing is used twice after an older copy of the store took
	// the place of a newer one. A floor below what stands changes nothing.
	Raise(ctx context.Context, floors Floors, event audit.Event) error
}

// Floors is what may have been used before, without the store knowing it.
type Floors struct {
	CRLNumbers map[string]uint64 // by issuer: the next number is higher than this one
	Tokens     time.Time         // tokens that nobody used are over at this time; zero leaves them
}

// Inventory is what was issued.
type Inventory interface {
	// BySerial finds a certificate; ErrNotFound.
	BySerial(ctx context.Context, serial Serial) (Record, error)
	// ByThumbprint finds a certificate by the SHA-256 of its DER; ErrNotFound.
	ByThumbprint(ctx context.Context, thumbprint [32]byte) (Record, error)
	// Certificates yields the records that match, by ascending Index, after f.After;
	// with f.ByExpiry by ascending NotAfter in seconds, then Index. A record written meanwhile
	// is yielded or not; one that was there and matched all the time is yielded once.
	Certificates(ctx context.Context, f Filter) iter.Seq2[Record, error]
}

// Registry is who takes part.
type Registry interface {
	// AddParty registers a party; ErrExists.
	AddParty(ctx context.Context, p policy.Party, event audit.Event) error
	// UpdateParty replaces the record of a registered party; ErrNotFound.
	UpdateParty(ctx context.Context, p policy.Party, event audit.Event) error
	// Party finds a party; ErrNotFound.
	Party(ctx context.Context, id string) (policy.Party, error)
	// Parties yields the parties by ascending id, after the given id.
	Parties(ctx context.Context, after string) iter.Seq2[policy.Party, error]
}

// An Intent says that a certificate with this serial may be about to exist.
type Intent struct {
	Serial   Serial    `json:"serial"`
	Issuer   string    `json:"issuer"`
	Profile  string    `json:"profile"`         // "" for one that was reserved ahead
	Party    string    `json:"party"`           // "" for one that was reserved ahead
	NotAfter time.Time `json:"not_after"`       // at most, for one that was reserved ahead
	At       time.Time `json:"at"`              // when it was reserved
	Shard    int       `json:"shard,omitempty"` // as in [Record]
}

// A Record is one certificate of the inventory.
type Record struct {
	Index      uint64      `json:"index"`                // index of its issuance in the audit log
	Serial     Serial      `json:"serial"`               //
	Issuer     string      `json:"issuer"`               // name of the issuing CA
	Profile    string      `json:"profile"`              //
	Party      string      `json:"party"`                // "" for certificates of the CA itself
	Role       policy.Role `json:"role"`                 //
	SPKI       [32]byte    `json:"-"`                    // SHA-256 of the SubjectPublicKeyInfo
	DER        []byte      `json:"-"`                    // the certificate
	NotBefore  time.Time   `json:"not_before"`           //
	NotAfter   time.Time   `json:"not_after"`            //
	Requester  string      `json:"requester"`            // on whose word: as in audit.Event.Actor
	Protocol   string      `json:"protocol"`             // how it was asked: token, renew, local
	Shard      int         `json:"shard,omitempty"`      // of the CRL, from 1, that its distribution point names; 0 for the full list
	Revocation *Revocation `json:"revocation,omitempty"` // nil while it is good
}

// An Issuance is what one commit of the gate writes.
type Issuance struct {
	Record Record   // Index is ignored
	Token  string   // id of the token to redeem, "" for none
	Use    TokenUse // written into the token
	// Request is the id of the approval request that it fulfils, "" for none.
	Request string
	Event   audit.Event // certificate.issued
	// Admit is asked, within the commit, with what is known of the key then; its error refuses. It is quick, uses no
	// store, and may run again. Nil admits every key.
	Admit func(Key) error
	// Ahead are further serials that are reserved, as Reserve does it, if the record is written.
	Ahead []Intent
}

// Status is what the store knows of a serial.
type Status struct {
	Issued     bool        // an issuer of ours signed it, or an intent for it was closed
	Revocation *Revocation // nil while it is good
	Released   time.Time   // of what is good: when its last hold ended, whole seconds; zero if it had none
}

// A Filter selects certificates; empty members match everything. What is valid has Revoked
// false and ValidAt now, what is expired has Revoked false and ExpiresBefore now.
type Filter struct {
	Party, Issuer, Profile string
	Role                   policy.Role
	Kind                   string    // what the key is for, as [CertificateKind] says
	SPKI                   *[32]byte // SHA-256 of the SubjectPublicKeyInfo
	SAN                    string    // one of its alternative names, as [CanonicalName] writes it
	Revoked                *bool     // only revoked, or only not revoked
	ExpiresFrom            time.Time // NotAfter at this or later
	ExpiresBefore          time.Time // NotAfter before this
	ValidAt                time.Time // NotBefore <= ValidAt <= NotAfter
	After                  uint64    // cursor: only Index > After; see From
	From                   bool      // After is a cursor (index 0 is a record too)
	ByExpiry               bool      // in the order of NotAfter; made for ranges of it, a party or a name is slow then
	AfterExpiry            time.Time // with From and ByExpiry: NotAfter of the record with index After
	Limit                  int       // at most so many, 0 for all
}
