package mtls

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net/http"
	"sync"
	"time"

	"github.com/payca/payca/enroll/problem"
	"github.com/payca/payca/ocsp"
	"github.com/payca/payca/policy"
)

// HandlerConfig says whom the identity middleware lets through.
type HandlerConfig struct {
	Trust     policy.Trust
	Authorize Authorizer
	Status    StatusChecker
	Problems  problem.Writer   // writes refusals
	Now       func() time.Time // nil: time.Now
}

type contextKey struct{}

// an identified is what the middleware puts into the request context.
type identified struct {
	peer    *policy.Peer
	verdict ocsp.Verdict
}

// PeerFrom returns the peer that [Handler] verified for this request and what
// was learned of its status; ok is false outside of Handler.
func PeerFrom(ctx context.Context) (peer *policy.Peer, verdict ocsp.Verdict, ok bool) {
	id, ok := ctx.Value(contextKey{}).(identified)
	return id.peer, id.verdict, ok
}

// Handler is [Middleware] around one handler.
func Handler(cfg HandlerConfig, next http.Handler) (http.Handler, error) {
	wrap, err := Middleware(cfg)
	if err != nil {
		return nil, err
	}
	return wrap(next), nil
}

// Middleware returns the identity middleware: it verifies the client certificate of
// every request, whatever the listener verified at the handshake, and hands the handler behind it a
// context from which [PeerFrom] takes the peer. Nothing behind it reads r.TLS. A refusal is a
// problem document, and it closes the connection.
func Middleware(cfg HandlerConfig) (func(http.Handler) http.Handler, error) {
	if len(cfg.Trust.Roots) == 0 || cfg.Authorize == nil || cfg.Status == nil {
		return nil, errors.New("mtls: want Trust, Authorize and Status")
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	v := &verifier{trust: cfg.Trust, use: policy.ClientUse, authorize: cfg.Authorize, status: cfg.Status, now: cfg.Now}
	known := &peers{byChain: map[[32]byte]*policy.Peer{}}
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			peer, verdict, err := v.request(r, known)
			if err != nil {
				w.Header().Set("Connection", "close")
				cfg.Problems.Write(w, r, refusal(err))
				return
			}
			next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), contextKey{}, identified{peer, verdict})))
		})
	}, nil
}

// errNoCertificate refuses a request without a client certificate.
var errNoCertificate = errors.New("the request carries no client certificate, want one issued by this network")

// request verifies the peer of one request.
func (v *verifier) request(r *http.Request, known *peers) (*policy.Peer, ocsp.Verdict, error) {
	if r.TLS == nil || len(r.TLS.PeerCertificates) == 0 {
		return nil, ocsp.Verdict{}, errNoCertificate
	}
	peer, err := known.identify(v, r.TLS)
	if err != nil {
		return nil, ocsp.Verdict{}, err
	}
	verdict, err := v.admit(r.Context(), peer, r.TLS.OCSPResponse)
	return peer, verdict, err
}

// refusal says how an error of the middleware looks to the client.
func refusal(err error) error {
	var violation *policy.Violation
	switch {
	case errors.Is(err, errNoCertificate):
		return &problem.Error{Status: http.StatusUnauthorized, Name: "no-identity", Err: err}
	case errors.As(err, new(*ocsp.RevokedError)):
		return &problem.Error{Status: http.StatusForbidden, Name: "certificate-revoked", Err: err}
	case errors.As(err, new(*ocsp.UnknownError)):
		return &problem.Error{Status: http.StatusForbidden, Name: "status-unknown", Err: err}
	case errors.As(err, &violation) && violation.Rule == "wrong-role":
		return &problem.Error{Status: http.StatusForbidden, Name: "wrong-role", Err: err}
	case violation != nil:
		return &problem.Error{Status: http.StatusForbidden, Name: "identity-refused", Err: err}
	}
	return err
}

// maxPeers bounds how many identified chains are remembered.
const maxPeers = 1024

// peers remembers chains that were identified, so that the signatures of a
// chain are verified once; its dates are looked at every time.
type peers struct {
	mu      sync.Mutex
	byChain map[[32]byte]*policy.Peer // by SHA-256 over the presented chain; guarded by mu
}

func (p *peers) identify(v *verifier, cs *tls.ConnectionState) (*policy.Peer, error) {
	h := sha256.New()
	for _, c := range cs.PeerCertificates {
		h.Write(c.Raw) // DER says its own length, so chains cannot run into each other
	}
	key := [32]byte(h.Sum(nil))
	now := v.now()
	p.mu.Lock()
	peer := p.byChain[key]
	p.mu.Unlock()
	if peer != nil && validAt(peer.Chain, now) {
		return peer, nil
	}
	peer, err := v.trust.Identify(cs.PeerCertificates, v.use, now)
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.byChain) >= maxPeers {
		clear(p.byChain)
	}
	p.byChain[key] = peer
	return peer, nil
}

func validAt(chain []*x509.Certificate, now time.Time) bool {
	for _, c := range chain {
		if now.Before(c.NotBefore) || now.After(c.NotAfter) {
			return false
		}
	}
	return true
}
