package mtls

import (
	"context"
	"crypto/x509"
	"errors"
	"net/http"
	"time"

	"github.com/payca/payca/enroll/problem"
	"github.com/payca/payca/ocsp"
	"github.com/payca/payca/policy"
)

// A HandlerConfig says whom [Handler] lets through.
type HandlerConfig struct {
	Trust     policy.Trust  // the network and its roots
	Use       policy.Use    // what the client's certificate must be for: policy.ClientUse, also if it is zero
	Authorize Authorizer    // who of the network
	Status    StatusChecker // asked at every request, so it should remember for a moment
	// StatusOf, if set, is asked which checker a request needs, nil for Status: what moves money bears less than an
	// enquiry. The TLS layer before it must let pass whom the most lenient of them does.
	StatusOf func(*http.Request) StatusChecker
	Problems problem.Writer // answers refusals
	// Inventory, if set, is asked whether the CA knows the certificate with this SHA-256: a
	// nil error, or why not. An *problem.Error, or one that a Mapper of Problems
	// knows, is answered as it says; every other is 500, so that an outage is no refusal.
	Inventory func(ctx context.Context, thumbprint [32]byte) error
	// Grace, if set, says for how long after its end a certificate still says for this request who presents it, as one that is
	// to be renewed may. It is asked about certificates that have expired, before anything else of them is known.
	Grace func(r *http.Request, leaf *x509.Certificate) time.Duration
	Now   func() time.Time // nil for time.Now
	// Refusal, if set, says how a refusal of the check is answered, in the place of the names
	// that Handler has; presented are the client's certificates.
	Refusal func(presented []*x509.Certificate, err error) error
}

// Handler returns next behind the identity check. It checks the certificates
// that the client presented again for each request, as an [Identifier] does, whether or not the TLS layer did,
// and puts the peer into the context. A client that fails is answered with a problem document and its
// connection is closed.
//
// 401 "certificate-required": none was presented. 403 "identity-refused": the
// identity check or the Authorizer refused it. 403 "certificate-revoked". 503 "status-unknown".
// With half a config every request is answered with 500.
func Handler(cfg HandlerConfig, next http.Handler) http.Handler {
	if cfg.Use == policy.AnyUse {
		cfg.Use = policy.ClientUse
	}
	c := check{identifier: NewIdentifier(cfg.Trust, cfg.Now), use: cfg.Use, authorize: cfg.Authorize, status: cfg.Status}
	broken := c.complete()
	if broken == nil && next == nil {
		broken = errors.New("identity check without a handler behind it, want one")
	}
	return problem.Handler(cfg.Problems, func(w http.ResponseWriter, r *http.Request) error {
		if broken != nil {
			return broken
		}
		peer, verdict, err := identify(c, cfg, r)
		if err != nil {
			w.Header().Set("Connection", "close")
			return err
		}
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), peerKey{}, identified{peer, verdict})))
		return nil
	})
}

// identify runs the check for one request. Its error says how it is to be answered.
func identify(c check, cfg HandlerConfig, r *http.Request) (*policy.Peer, ocsp.Verdict, error) {
	if r.TLS == nil || len(r.TLS.PeerCertificates) == 0 {
		return nil, ocsp.Verdict{}, problem.Errorf(http.StatusUnauthorized, "certificate-required",
			"no client certificate was presented, want one of %s", cfg.Trust.Network)
	}
	if cfg.StatusOf != nil {
		if status := cfg.StatusOf(r); status != nil {
			c.status = status
		}
	}
	if cfg.Grace != nil {
		c.grace = func(leaf *x509.Certificate) time.Duration { return cfg.Grace(r, leaf) }
	}
	known, verdict, err := c.peer(r.Context(), r.TLS.PeerCertificates, nil)
	if err != nil {
		if cfg.Refusal != nil {
			return nil, verdict, cfg.Refusal(r.TLS.PeerCertificates, err)
		}
		return nil, verdict, answer(err)
	}
	if cfg.Inventory != nil {
		if err := cfg.Inventory(r.Context(), known.thumbprint); err != nil {
			return nil, verdict, err
		}
	}
	return known.peer, verdict, nil
}

// answer says how a refusal of the check is answered.
func answer(err error) error {
	if _, ok := errors.AsType[*ocsp.RevokedError](err); ok {
		return &problem.Error{Status: http.StatusForbidden, Name: "certificate-revoked", Err: err}
	}
	if _, ok := errors.AsType[*ocsp.UnknownError](err); ok {
		return &problem.Error{
			Status: http.StatusServiceUnavailable, Name: "status-unknown",
			Detail: "whether the certificate is revoked cannot be found out now", Err: err,
		}
	}
	if policy.ViolationsOf(err) != nil {
		return &problem.Error{Status: http.StatusForbidden, Name: "identity-refused", Err: err}
	}
	return err
}

type peerKey struct{}

type identified struct {
	peer    *policy.Peer
	verdict ocsp.Verdict
}

// PeerFrom returns the peer that [Handler] put into the context of a request, and the
// status of its certificate. It is false for requests that did not pass Handler. Other
// requests share the peer: it must not be modified.
func PeerFrom(ctx context.Context) (*policy.Peer, ocsp.Verdict, bool) {
	id, ok := ctx.Value(peerKey{}).(identified)
	return id.peer, id.verdict, ok
}
