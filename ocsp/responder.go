package ocsp

import (
	"bytes"
	"context"
	"crypto"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"
)

const (
	backdate      = 5 * time.Minute // thisUpdate lies so far in the past: some clients tolerate no future
	clockSlack    = time.Minute     // a status change may lie so far in the future
	flightBudget  = 5 * time.Second // for reading a status and signing, once a client's own context is left behind
	maxSerial     = 20              // octets, RFC 5280 section 4.1.2.2
	defaultCached = 1 << 14
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
	Validity time.Duration    // from thisUpdate to nextUpdate, 0 for 1 h; over 5 min
	MaxAge   time.Duration    // how long HTTP caches may keep an answer at most, 0 for 5 min
	Inflight int              // signatures under way at most; more are told tryLater. 0 for 256
	Cached   int              // answers kept at most, 0 for 16,384
	Now      func() time.Time // nil for time.Now
	Logger   *slog.Logger     // nil for none
}

// A Responder is an http.Handler that answers OCSP requests. It is safe for
// concurrent use.
type Responder struct {
	cfg     ResponderConfig
	issuers []*responderIssuer
	answers answers
	slots   chan struct{} // one for each signature under way
	counts  counters
}

// responderIssuer is a ResponderIssuer with what its CertIDs look like.
type responderIssuer struct {
	ResponderIssuer
	index  int
	hashes [4]issuerHash // in the order of certIDHashes
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
	if cfg.Validity <= backdate || cfg.MaxAge < 0 || cfg.Inflight < 0 || cfg.Cached < 0 {
		return nil, fmt.Errorf("new OCSP responder: Validity %v, MaxAge %v, Inflight %d, Cached %d: want Validity over %v, the others positive",
			cfg.Validity, cfg.MaxAge, cfg.Inflight, cfg.Cached, backdate)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	r := &Responder{cfg: cfg, slots: make(chan struct{}, cfg.Inflight)}
	r.answers.init(cfg.Cached)
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
		if h := &is.hashes[i]; h.hash == id.Hash {
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

// answer answers a request under the issuer of the path, nil if it named none.
func (r *Responder) answer(ctx context.Context, fromPath *responderIssuer, body []byte) *reply {
	req, err := ParseRequest(body)
	if err != nil {
		r.cfg.Logger.DebugContext(ctx, "ocsp request refused", slog.Any("err", err))
		r.counts.malformed.Add(1)
		return errorReply(Malformed)
	}
	r.counts.count(req)
	is := r.choose(fromPath, req.CertIDs)
	if is == nil {
		r.counts.unauthorized.Add(1)
		return errorReply(Unauthorized)
	}
	if req.Nonce == nil && len(req.CertIDs) == 1 {
		if _, mine := is.owns(&req.CertIDs[0]); mine && len(req.CertIDs[0].Serial) <= maxSerial {
			return r.shared(ctx, is, req)
		}
	}
	return r.sign(ctx, is, req)
}

// shared answers a request about one certificate, without nonce: from the cache,
// from a flight under way, or with a flight of its own.
func (r *Responder) shared(ctx context.Context, is *responderIssuer, req Request) *reply {
	k := newAnswerKey(is.index, &req.CertIDs[0])
	rep, f, mine := r.answers.find(k, r.cfg.Now(), is.Signer())
	switch {
	case rep != nil:
		r.counts.hits.Add(1)
		return rep
	case !mine:
		select {
		case <-f.done:
			return f.reply
		case <-ctx.Done():
			return r.tryLater()
		}
	}
	f.reply = errorReply(Internal) // stands if signing panics
	defer r.answers.land(k, f)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), flightBudget)
	defer cancel()
	f.reply = r.sign(ctx, is, req)
	return f.reply
}

// sign reads the statuses and signs an answer now.
func (r *Responder) sign(ctx context.Context, is *responderIssuer, req Request) *reply {
	select {
	case r.slots <- struct{}{}:
		defer func() { <-r.slots }()
	default:
		return r.tryLater()
	}
	now := r.cfg.Now().UTC().Truncate(time.Second)
	signer, err := is.usable(now)
	if err != nil {
		r.cfg.Logger.ErrorContext(ctx, "no ocsp signer", slog.String("issuer", is.Name), slog.Any("err", err))
		return r.tryLater()
	}
	singles := make([]SingleResponse, len(req.CertIDs))
	for i := range req.CertIDs {
		if singles[i], err = r.single(ctx, is, &req.CertIDs[i], now); err != nil {
			r.cfg.Logger.ErrorContext(ctx, "status not read", slog.String("issuer", is.Name), slog.Any("err", err))
			return r.tryLater()
		}
		if expiry := signer.cert.NotAfter; singles[i].NextUpdate.After(expiry) {
			singles[i].NextUpdate = expiry
		}
	}
	der, err := signer.Sign(now, req.Nonce, singles...)
	if err != nil {
		r.cfg.Logger.ErrorContext(ctx, "ocsp answer not signed", slog.String("issuer", is.Name), slog.Any("err", err))
		r.counts.internal.Add(1)
		return errorReply(Internal)
	}
	r.counts.signedFor(singles)
	if req.Nonce == nil && len(singles) == 1 && singles[0].State != Unknown {
		return keptReply(der, signer, now, singles[0], r.cfg.MaxAge)
	}
	return liveReply(der)
}

// single looks a status up. thisUpdate lies a little in the past, but not before the
// status began.
func (r *Responder) single(ctx context.Context, is *responderIssuer, id *CertID, now time.Time) (SingleResponse, error) {
	single := SingleResponse{CertID: *id, ThisUpdate: now.Add(-backdate)}
	single.NextUpdate = single.ThisUpdate.Add(r.cfg.Validity)
	_, mine := is.owns(id)
	if !mine || len(id.Serial) == 0 || len(id.Serial) > maxSerial {
		return single, nil
	}
	st, err := r.cfg.Source.Status(ctx, is.Name, id.Serial)
	if err != nil {
		return single, fmt.Errorf("status of %x: %w", id.Serial, err)
	}
	since := st.Since.UTC().Truncate(time.Second)
	if since.After(now.Add(clockSlack)) {
		return single, fmt.Errorf("status of %x began at %v, the clock says %v: want a clock that is right", id.Serial, since, now)
	}
	if since.After(now) {
		since = now
	}
	if since.After(single.ThisUpdate) {
		single.ThisUpdate, single.NextUpdate = since, since.Add(r.cfg.Validity)
	}
	single.State = st.State
	if st.State == Revoked {
		single.Reason, single.RevokedAt = st.Reason, st.RevokedAt
	}
	return single, nil
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
	now := r.cfg.Now()
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

func (r *Responder) tryLater() *reply {
	r.counts.tryLater.Add(1)
	return errorReply(TryLater)
}
