package audit

import (
	"time"

	"github.com/payca/payca/policy"
)

// A Kind names what happened; docs/design.md lists them.
type Kind string

// The kinds of event that a CA records.
const (
	NetworkCreated     Kind = "network.created"
	KeyLoaded          Kind = "key.loaded"
	Started            Kind = "server.started"
	PartyAdded         Kind = "party.added"
	PartyChanged       Kind = "party.changed"
	TokenCreated       Kind = "token.created"
	TokenCancelled     Kind = "token.cancelled"
	CertificateIssued  Kind = "certificate.issued"
	CertificateRefused Kind = "certificate.refused"
	CertificateRevoked Kind = "certificate.revoked"
	CertificateFreed   Kind = "certificate.released"
	IntentClosed       Kind = "intent.closed"
	KeyBlocked         Kind = "key.blocked"
	KeyUnblocked       Kind = "key.unblocked"
	StoreRechecked     Kind = "store.rechecked"
	CertificateFinding Kind = "certificate.finding"
	CRLSigned          Kind = "crl.signed"
	CRLShards          Kind = "crl.shards"
	RootCRL            Kind = "crl.root"
	OperatorRefused    Kind = "operator.refused"
	PartySuspended     Kind = "party.suspended"
	PartyResumed       Kind = "party.resumed"
	PartyClosed        Kind = "party.closed"
	RequestFiled       Kind = "request.filed"
	RequestApproved    Kind = "request.approved"
	RequestRejected    Kind = "request.rejected"
	RequestRefused     Kind = "request.refused"
	RequestDone        Kind = "request.done"
	RequestInvalid     Kind = "request.invalid"
	RequestExpired     Kind = "request.expired"
	PolicyChanged      Kind = "policy.changed"
	IssuersChanged     Kind = "issuers.changed"
	BackupMade         Kind = "backup.made"
	NetworkRecovered   Kind = "network.recovered"
	LogGap             Kind = "log.gap"
)

// An Event is one leaf of the log: what happened, to what, on whose word. The
// leaf is its JSON, one line whatever the fields hold. Empty members are left out.
type Event struct {
	Time       time.Time          `json:"time"`                 // UTC
	Kind       Kind               `json:"kind"`                 // what happened
	Actor      string             `json:"actor,omitempty"`      // on whose word: an identity URI, "token:ID", "local", "payca"
	From       string             `json:"from,omitempty"`       // remote address of the request
	Party      string             `json:"party,omitempty"`      // the party concerned
	Role       string             `json:"role,omitempty"`       // its role
	Issuer     string             `json:"issuer,omitempty"`     // name of the issuing CA
	Profile    string             `json:"profile,omitempty"`    // profile of the certificate
	Serial     string             `json:"serial,omitempty"`     // serial, hexadecimal
	Thumbprint string             `json:"thumbprint,omitempty"` // SHA-256 of the certificate, hexadecimal
	Reason     string             `json:"reason,omitempty"`     // revocation reason, or why it was refused
	Violations []policy.Violation `json:"violations,omitempty"` // every broken rule of a refusal
	Attrs      map[string]string  `json:"attrs,omitempty"`      // whatever else the kind wants
}
