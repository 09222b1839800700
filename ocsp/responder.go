package ocsp

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

const (
	backdate      = 5 * time.Minute // thisUpdate lies so far in the past: some clients tolerate no future
	clockSlack    = time.Minute     // a status change may lie so far in the future
	flightBudget  = 5 * time.Second // for reading a status and signing, once a client's own context is left behind
	maxSerial     = 20              // octets, RFC 5280 section 4.1.2.2
	defaultCached = 1 << 14

	defaultSignatures = 1 << 18 // 32 MB when full
	refreshInterval   = time.Second
)

// A ResponderIssuer is a CA that a [Responder] answers for.
type ResponderIssuer struct {
	Name        string            // path element: lower-case letters, digits and hyphens
	Certificate *x509.Certificate // the CA's
	Signer      func() *Signer    // the current delegate; nil when there is none. Called for each request
}

// ResponderConfig is what a [Responder] is made from. Issuers and Source are needed.
type ResponderConfig struct {
	Issuers  []ResponderIssuer
	Source   Source
	Validity time.Duration // from thisUpdate to nextUpdate, 0 for 1 h; over 5 min
	MaxAge   time.Duration // how long HTTP caches may keep an answer at most, 0 for 5 min
	Inflight int           // signatures under way at most; more are told tryLater. 0 for 256
	Waiters  int           // requests at most that wait for a signature of others. 0 for 16 times Inflight
	Cached   int           // answers kept at most, 0 for 16,384
	// Signatures is how many bare signatures of good statuses are kept at most, of about 130 octets each; 0 for 262,144.
	Signatures int
	// RefuseSHA1 treats CertIDs by SHA-1 as those of a foreign issuer. Most clients send no others.
	RefuseSHA1 bool
	// ExtendedRevoke answers revoked, on hold since 1970, in the place of unknown about serials that were never issued
	// (RFC 6960 section 2.2).
	ExtendedRevoke bool
	// Retention is how long after its end the status of a certificate is told; answers then carry the archive cutoff
	// (RFC 6960 section 4.4.4). 0 to say nothing about it.
	Retention time.Duration
	// AsOf is up to when the Source knows every change, for one that follows another from afar: thisUpdate lies no later, and
	// where nextUpdate would be over, the answer is tryLater. Nil for a Source that knows them as they happen.
	AsOf   func() time.Time
	Now    func() time.Time // nil for time.Now
	Logger *slog.Logger     // nil for none
}

// A Responder is an http.Handler that answers OCSP requests. It is safe for
// concurrent use.
type Responder struct {
	cfg     ResponderConfig
	issuers []*responderIssuer
	answers answers
	signing atomic.Int64 // signatures under way
	waiting atomic.Int64
	clock   clock
	counts  counters
}

// responderIssuer is a ResponderIssuer with what its CertIDs look like.
type responderIssuer struct {
	ResponderIssuer
	index  int
	hashes [4]issuerHash // in the order of certIDHashes

	mu     sync.Mutex
	signer *Signer // the one that signed last; guarded by mu
	number uint32  // how many there were; guarded by mu
}

type issuerHash struct {
	hash      crypto.Hash
	name, key []byte
}

// NewResponder makes a responder. It refuses half a configuration.
func NewResponder(cfg ResponderConfig) (*Responder, error) {
	if len(cfg.Issuers) == 0 || cfg.Source == nil {
		return nil, errors.New("new OCSP responder: want Issuers and Source")
	}
	if cfg.Validity == 0 {
		cfg.Validity = time.Hour
	}
	if cfg.MaxAge == 0 {
		cfg.MaxAge = 5 * time.Minute
	}
	if cfg.Inflight == 0 {
		cfg.Inflight = 256
	}
	if cfg.Cached == 0 {
		cfg.Cached = defaultCached
	}
	if cfg.Waiters == 0 {
		cfg.Waiters = 16 * cfg.Inflight
	}
	if cfg.Signatures == 0 {
		cfg.Signatures = defaultSignatures
	}
	if cfg.Validity <= backdate || cfg.MaxAge < 0 || cfg.Inflight < 0 || cfg.Waiters < 0 || cfg.Cached < 0 || cfg.Signatures < 0 || cfg.Retention < 0 {
		return nil, fmt.Errorf("new OCSP responder: Validity %v, MaxAge %v, Inflight %d, Waiters %d, Cached %d, Signatures %d, Retention %v: want Validity over %v, the others positive",
			cfg.Validity, cfg.MaxAge, cfg.Inflight, cfg.Waiters, cfg.Cached, cfg.Signatures, cfg.Retention, backdate)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	r := &Responder{cfg: cfg}
	r.answers.init(cfg.Cached, cfg.Signatures)
	r.clock.now = cfg.Now
	for _, is := range cfg.Issuers {
		if err := r.addIssuer(is); err != nil {
			return nil, fmt.Errorf("new OCSP responder: issuer %q: %w", is.Name, err)
		}
	}
	return r, nil
}

func (r *Responder) addIssuer(is ResponderIssuer) error {
	if is.Name == "" || strings.Trim(is.Name, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
		return errors.New("want a name of lower-case letters, digits and hyphens")
	}
	if is.Certificate == nil || is.Signer == nil {
		return errors.New("want Certificate and Signer")
	}
	if r.named(is.Name) != nil {
		return errors.New("named twice, want once")
	}
	bits, err := keyBits(is.Certificate)
	if err != nil {
		return err
	}
	ri := &responderIssuer{ResponderIssuer: is, index: len(r.issuers)}
	for i, h := range certIDHashes() {
		if h == crypto.SHA1 && r.cfg.RefuseSHA1 {
			continue
		}
		ri.hashes[i] = issuerHash{hash: h, name: digest(h, is.Certificate.RawSubject), key: digest(h, bits)}
	}
	r.issuers = append(r.issuers, ri)
	return nil
}

func (r *Responder) named(name string) *responderIssuer {
	for _, is := range r.issuers {
		if is.Name == name {
			return is
		}
	}
	return nil
}

// owns says whether id names a certificate of the issuer, and whether it has at
// least its name.
func (is *responderIssuer) owns(id *CertID) (name, key bool) {
	for i := range is.hashes {
		if h := &is.hashes[i]; h.hash == id.Hash && h.hash != 0 {
			name = bytes.Equal(h.name, id.IssuerNameHash)
			return name, name && bytes.Equal(h.key, id.IssuerKeyHash)
		}
	}
	return false, false
}

// choose finds the issuer that answers: the one of the path or, without one, that
// of the first CertID. It is nil if every CertID is foreign to all issuers.
func (r *Responder) choose(fromPath *responderIssuer, ids []CertID) *responderIssuer {
	var byName, byKey *responderIssuer
	for i := range ids {
		for _, is := range r.issuers {
			name, key := is.owns(&ids[i])
			if name && byName == nil {
				byName = is
			}
			if key && i == 0 {
				byKey = is
			}
		}
	}
	switch {
	case byName == nil:
		return nil
	case fromPath != nil:
		return fromPath
	case byKey != nil:
		return byKey
	}
	return byName
}

// usable returns the issuer's current delegate if it can sign at now.
func (is *responderIssuer) usable(now time.Time) (*Signer, error) {
	s := is.Signer()
	switch {
	case s == nil:
		return nil, errors.New("issuer has no OCSP delegate, want one")
	case !bytes.Equal(s.issuer.RawSubjectPublicKeyInfo, is.Certificate.RawSubjectPublicKeyInfo):
		return nil, errors.New("OCSP delegate belongs to another issuer key")
	case now.Before(s.cert.NotBefore) || !now.Before(s.cert.NotAfter):
		return nil, fmt.Errorf("OCSP delegate is valid from %v to %v, want one valid at %v", s.cert.NotBefore, s.cert.NotAfter, now)
	}
	return s, nil
}

// Drop forgets what was signed about a serial. The caller first makes the new
// status visible in the Source, then calls Drop: a request that begins after Drop
// has returned gets nothing that was signed, or began to be, before.
func (r *Responder) Drop(issuer string, serial []byte) {
	if is := r.named(issuer); is != nil {
		r.answers.drop(is.index, bytes.TrimLeft(serial, "\x00"))
	}
}

// Health returns nil while every issuer has a delegate that can sign answers of
// full validity, and otherwise what is wrong with each.
func (r *Responder) Health() error {
	var errs []error
	now, err := r.clock.read()
	if err != nil {
		errs = append(errs, err)
	}
	for _, is := range r.issuers {
		s, err := is.usable(now)
		if err == nil && s.cert.NotAfter.Before(now.Add(r.cfg.Validity)) {
			err = fmt.Errorf("OCSP delegate expires at %v, want one valid for another %v", s.cert.NotAfter, r.cfg.Validity)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("issuer %q: %w", is.Name, err))
		}
	}
	return errors.Join(errs...)
}
