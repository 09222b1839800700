package ocsp

import (
	"bytes"
	"context"
	"crypto"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"
)

// The defaults of a responder.
const (
	defaultValidity = time.Hour
	defaultMaxAge   = 5 * time.Minute
	defaultInflight = 256
	backdate        = 5 * time.Minute // of thisUpdate; some clients take no future at all
)

// A ResponderIssuer is one issuer that a responder answers for.
type ResponderIssuer struct {
	Name        string            // path element: /ocsp/NAME
	Certificate *x509.Certificate //
	Signer      func() *Signer    // the delegate of now; called for every signature
}

// ResponderConfig says for whom a responder answers and how long its answers hold.
type ResponderConfig struct {
	Issuers  []ResponderIssuer
	Source   Source
	Validity time.Duration // nextUpdate - thisUpdate, 0 for one hour
	MaxAge   time.Duration // bound of Cache-Control max-age, 0 for five minutes
	Inflight int           // signatures under way, 0 for 256; more are told tryLater
	Now      func() time.Time
	Logger   *slog.Logger
}

// A Responder answers OCSP requests over HTTP. It is safe for concurrent use.
type Responder struct {
	cfg     ResponderConfig
	issuers []issuerIDs
	cache   cache
	signing chan struct{} // a place for every signature under way
}

// issuerIDs are the hashes by which CertIDs name an issuer.
type issuerIDs struct {
	ResponderIssuer
	names, keys map[crypto.Hash][]byte
}

// NewResponder checks cfg and returns a responder.
func NewResponder(cfg ResponderConfig) (*Responder, error) {
	if len(cfg.Issuers) == 0 || cfg.Source == nil {
		return nil, errors.New("ocsp responder: want Issuers and Source")
	}
	if cfg.Validity == 0 {
		cfg.Validity = defaultValidity
	}
	if cfg.MaxAge == 0 {
		cfg.MaxAge = defaultMaxAge
	}
	if cfg.Inflight == 0 {
		cfg.Inflight = defaultInflight
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Validity <= backdate {
		return nil, fmt.Errorf("ocsp responder: validity %s, want more than %s", cfg.Validity, backdate)
	}
	r := &Responder{cfg: cfg, signing: make(chan struct{}, cfg.Inflight), cache: newCache()}
	for _, is := range cfg.Issuers {
		if is.Name == "" || is.Certificate == nil || is.Signer == nil {
			return nil, fmt.Errorf("ocsp responder: issuer %q: want Name, Certificate and Signer", is.Name)
		}
		bits, err := publicKeyBits(is.Certificate.RawSubjectPublicKeyInfo)
		if err != nil {
			return nil, err
		}
		ids := issuerIDs{ResponderIssuer: is, names: map[crypto.Hash][]byte{}, keys: map[crypto.Hash][]byte{}}
		for _, known := range hashOIDs() {
			ids.names[known.hash] = hashOf(known.hash, is.Certificate.RawSubject)
			ids.keys[known.hash] = hashOf(known.hash, bits)
		}
		r.issuers = append(r.issuers, ids)
	}
	return r, nil
}

// Drop forgets every answer about a certificate and keeps answers that are
// being made from being handed to requests that begin from now on. The serial
// is big endian without leading zero octets.
func (r *Responder) Drop(issuer string, serial []byte) {
	for i := range r.issuers {
		if r.issuers[i].Name == issuer {
			r.cache.drop(slotKey{i, string(serial)})
		}
	}
}

// An answer is a response with what HTTP says about it.
type answer struct {
	der        []byte
	thisUpdate time.Time
	nextUpdate time.Time
	cacheable  bool // it answers no nonce
}

// errBusy says that too many signatures are under way.
var errBusy = errors.New("too many signatures under way")

// named returns the index of the issuer with the name, -1 for none.
func (r *Responder) named(name string) int {
	return slices.IndexFunc(r.issuers, func(is issuerIDs) bool { return is.Name == name })
}

// issued says whether the CertID names this issuer, by name and by key.
func (is *issuerIDs) issued(id CertID) (name, key bool) {
	if id.Hash == 0 {
		return false, false
	}
	return bytes.Equal(is.names[id.Hash], id.IssuerNameHash), bytes.Equal(is.keys[id.Hash], id.IssuerKeyHash)
}

// choose finds the issuer that answers a request which the path gave to none:
// that of its first CertID that is one of ours. It also says whether any is ours.
func (r *Responder) choose(given int, req Request) (chosen int, ours bool) {
	chosen = given
	for _, id := range req.CertIDs {
		for i := range r.issuers {
			name, key := r.issuers[i].issued(id)
			ours = ours || name
			if name && key && chosen < 0 {
				chosen = i
			}
		}
	}
	return chosen, ours && chosen >= 0
}

// respond answers a request in the name of an issuer (-1: whichever fits).
func (r *Responder) respond(ctx context.Context, given int, req Request) (answer, ResponseStatus) {
	issuer, ours := r.choose(given, req)
	if !ours {
		return answer{}, Unauthorized
	}
	var a answer
	var err error
	name, key := r.issuers[issuer].issued(req.CertIDs[0])
	if req.Nonce == nil && len(req.CertIDs) == 1 && name && key && req.CertIDs[0].Serial != nil {
		a, err = r.cache.get(ctx, slotKey{issuer, string(req.CertIDs[0].Serial)}, string(req.CertIDs[0].Raw), r.cfg.Now(), func() (answer, error) {
			return r.sign(context.WithoutCancel(ctx), issuer, req)
		})
	} else {
		a, err = r.sign(ctx, issuer, req)
	}
	switch {
	case errors.Is(err, errBusy):
		return answer{}, TryLater
	case err != nil:
		r.cfg.Logger.LogAttrs(ctx, slog.LevelError, "cannot answer ocsp request", slog.String("issuer", r.issuers[issuer].Name), slog.Any("err", err))
		return answer{}, TryLater
	}
	return a, Successful
}

// sign looks every certificate up and signs an answer.
func (r *Responder) sign(ctx context.Context, issuer int, req Request) (answer, error) {
	select {
	case r.signing <- struct{}{}:
		defer func() { <-r.signing }()
	default:
		return answer{}, errBusy
	}
	is := &r.issuers[issuer]
	signer := is.Signer()
	now := r.cfg.Now().UTC().Truncate(time.Second)
	end := signer.certificate.NotAfter
	if !now.Before(end) {
		return answer{}, fmt.Errorf("the ocsp signer of %s expired at %s", is.Name, end)
	}
	a := answer{cacheable: req.Nonce == nil, thisUpdate: now.Add(-backdate)}
	singles := make([]Single, len(req.CertIDs))
	for i, id := range req.CertIDs {
		singles[i] = Single{ID: id}
		name, key := is.issued(id)
		if name && key && id.Serial != nil {
			status, err := r.cfg.Source.Status(ctx, is.Name, id.Serial)
			if err != nil {
				return answer{}, fmt.Errorf("looking up a status: %w", err)
			}
			singles[i].Status = status
		}
		singles[i].ThisUpdate = now.Add(-backdate)
		if since := singles[i].Status.Since.UTC().Truncate(time.Second); since.After(singles[i].ThisUpdate) && !since.After(now) {
			singles[i].ThisUpdate = since
		}
		singles[i].NextUpdate = earlier(singles[i].ThisUpdate.Add(r.cfg.Validity), end)
		if a.nextUpdate.IsZero() || singles[i].NextUpdate.Before(a.nextUpdate) {
			a.nextUpdate = singles[i].NextUpdate
		}
		if singles[i].ThisUpdate.After(a.thisUpdate) {
			a.thisUpdate = singles[i].ThisUpdate
		}
	}
	var err error
	a.der, err = signer.sign(singles, req.Nonce, now)
	return a, err
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}
