package mtls

import (
	"crypto/sha256"
	"crypto/x509"
	"slices"
	"time"

	"github.com/payca/payca/policy"
)

// maxRemembered is how many peers an Identifier remembers.
const maxRemembered = 4096

// An Identifier does the check of [policy.Trust.Identify] and remembers who passed,
// so that the same certificates pass again without a signature being verified. It is what every
// check of this package begins with, and serves as well for certificates that did not come from TLS.
// It may be used concurrently. Make one with [NewIdentifier] and keep it: each has a memory of its own.
//
// Remembered is a success, never a refusal, for exactly the same list of certificates
// and the same use. It stands while leaf, issuing CA and root are all valid by the Identifier's clock,
// which may also go back; outside of that time the check is done anew. The
// memory is bounded; what was learnt first is forgotten first.
type Identifier struct {
	trust  policy.Trust
	now    func() time.Time
	memory *memory
}

// NewIdentifier returns an Identifier for the members of one network. A nil now is time.Now.
func NewIdentifier(trust policy.Trust, now func() time.Time) *Identifier {
	return newIdentifier(trust, now, maxRemembered)
}

func newIdentifier(trust policy.Trust, now func() time.Time, bound int) *Identifier {
	if now == nil {
		now = time.Now
	}
	trust.Roots, trust.Issuers = slices.Clone(trust.Roots), slices.Clone(trust.Issuers)
	return &Identifier{trust: trust, now: now, memory: newMemory(bound)}
}

// Identify does what [policy.Trust.Identify] does, at the present of the Identifier, with the same errors.
// Whether the peer was revoked is not remembered and remains for the caller to ask, each time.
//
// The certificates are to be as x509.ParseCertificate or crypto/tls made them. Neither
// they nor the Peer may be modified, then or later: the same Peer is returned to every caller. Its
// certificates have the bytes of the presented ones but need not be the same pointers.
func (i *Identifier) Identify(presented []*x509.Certificate, use policy.Use) (*policy.Peer, error) {
	known, err := i.identify(presented, use)
	if err != nil {
		return nil, err
	}
	return known.peer, nil
}

func (i *Identifier) identify(presented []*x509.Certificate, use policy.Use) (*recognition, error) {
	now := i.now()
	key, keepable := i.memory.keyOf(presented, use)
	if keepable {
		if known := i.memory.find(key, presented); known != nil && known.stands(now) {
			return known, nil
		}
	}
	peer, err := i.trust.Identify(presented, use, now)
	if err != nil {
		return nil, err
	}
	known := recognise(presented, peer)
	if keepable {
		i.memory.keep(key, known)
	}
	return known, nil
}

// A recognition is a peer that passed, and when that holds. It is not modified.
type recognition struct {
	presented           []*x509.Certificate
	peer                *policy.Peer
	thumbprint          [sha256.Size]byte // of the leaf
	notBefore, notAfter time.Time         // when all of peer.Chain is valid
}

func recognise(presented []*x509.Certificate, peer *policy.Peer) *recognition {
	r := &recognition{
		presented: slices.Clone(presented), peer: peer, thumbprint: sha256.Sum256(peer.Leaf.Raw),
		notBefore: peer.Leaf.NotBefore, notAfter: peer.Leaf.NotAfter,
	}
	for _, cert := range peer.Chain {
		if cert.NotBefore.After(r.notBefore) {
			r.notBefore = cert.NotBefore
		}
		if cert.NotAfter.Before(r.notAfter) {
			r.notAfter = cert.NotAfter
		}
	}
	return r
}

// stands says whether the chain is valid at now, as crypto/x509 compares. The
// zero time is no time, as for policy.Trust.Identify.
func (r *recognition) stands(now time.Time) bool {
	return !now.IsZero() && !now.Before(r.notBefore) && !now.After(r.notAfter)
}
