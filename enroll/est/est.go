package est

import (
	"bytes"
	"context"
	"crypto"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/payca/payca/enroll"
	"github.com/payca/payca/enroll/mtls"
	"github.com/payca/payca/enroll/problem"
	"github.com/payca/payca/enroll/server"
	"github.com/payca/payca/policy"
)

// Path is what the paths of all operations start with.
const Path = "/.well-known/est/"

// The media types of RFC 7030 section 3.2.4.
const (
	typeCerts = "application/pkcs7-mime; smime-type=certs-only"
	typeAttrs = "application/csrattrs"
	typePKCS8 = "application/pkcs8"
)

// bodyLimit is how many octets of a request are read.
const bodyLimit = 64 << 10

// retryAfter is when a client whose request waits for approvers asks again, in seconds.
const retryAfter = "60"

// Config is what the door needs; every member but Now is required.
type Config struct {
	Network  string
	Gate     server.Gate
	TokenKey crypto.PublicKey // verifies tokens
	// Issuer returns the certificate of an issuing CA, by its name in policy.CAs.
	Issuer   func(name string) (*x509.Certificate, error)
	Root     *x509.Certificate
	Profiles []*policy.Profile
	Problems problem.Writer                  // answers errors, with Render
	Identify func(http.Handler) http.Handler // the identity middleware, which answers with text too
	// Endpoints is who may call what; Refused records that somebody may not, and returns the answer.
	Endpoints *policy.Endpoints
	Refused   func(r *http.Request, err error) error
	Now       func() time.Time
}

// Render writes a refusal as one line of text, which clients show to people.
func Render(p problem.Problem) (mediaType string, body []byte) {
	return "text/plain; charset=utf-8", []byte(p.Error())
}

// An operation is one of RFC 7030 section 3.2.2.
type operation struct {
	policy.Endpoint
	method string
	handle func(*door, http.ResponseWriter, *http.Request, *policy.Profile) error
}

// operations are those that are served, by name. The label is not part of the endpoint: who may ask is one question, for what another.
func operations() map[string]operation {
	of := func(method, name string, open bool, handle func(*door, http.ResponseWriter, *http.Request, *policy.Profile) error) operation {
		return operation{policy.Endpoint{Pattern: method + " " + Path + name, Open: open}, method, handle}
	}
	return map[string]operation{
		"cacerts":        of(http.MethodGet, "cacerts", true, (*door).caCerts),
		"csrattrs":       of(http.MethodGet, "csrattrs", true, (*door).csrAttrs),
		"simpleenroll":   of(http.MethodPost, "simpleenroll", true, (*door).enroll),
		"serverkeygen":   of(http.MethodPost, "serverkeygen", true, (*door).keygen),
		"simplereenroll": of(http.MethodPost, "simplereenroll", false, (*door).reenroll),
	}
}

// reenrollPattern is the endpoint by which a party with a certificate enrolls, under either name.
const reenrollPattern = "POST " + Path + "simplereenroll"

// Endpoints lists the endpoints of [New].
func Endpoints() []policy.Endpoint {
	var all []policy.Endpoint
	for _, name := range []string{"cacerts", "csrattrs", "simpleenroll", "simplereenroll", "serverkeygen"} {
		all = append(all, operations()[name].Endpoint)
	}
	return all
}

type door struct {
	cfg        Config
	operations map[string]operation
	profiles   map[string]*policy.Profile
	members    http.Handler // for who shows a certificate
}

// New returns the handler of everything below [Path].
func New(cfg Config) (http.Handler, error) {
	if cfg.Network == "" || cfg.Gate == nil || cfg.TokenKey == nil || cfg.Issuer == nil || cfg.Root == nil || len(cfg.Profiles) == 0 ||
		cfg.Identify == nil || cfg.Endpoints == nil || cfg.Refused == nil {
		return nil, errors.New("EST: want Network, Gate, TokenKey, Issuer, Root, Profiles, Identify, Endpoints and Refused")
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	d := &door{cfg: cfg, operations: operations(), profiles: map[string]*policy.Profile{}}
	admission := server.Door{Problems: cfg.Problems, Identify: cfg.Identify, Endpoints: cfg.Endpoints, Refused: cfg.Refused}
	d.members = admission.Admit(policy.Endpoint{Pattern: reenrollPattern}, identify)
	for _, p := range cfg.Profiles {
		if p.Role() != "" { // those of the CA itself are asked for by nobody
			d.profiles[p.Name()] = p
		}
	}
	return problem.Handler(cfg.Problems, d.serve), nil
}

// serve finds operation and label in the path.
func (d *door) serve(w http.ResponseWriter, r *http.Request) error {
	label, name, labelled := strings.Cut(strings.TrimPrefix(r.URL.Path, Path), "/")
	if !labelled {
		label, name = "", label
	}
	op, ok := d.operations[name]
	switch {
	case name == "fullcmc":
		return problem.Errorf(http.StatusNotImplemented, "not-implemented", "fullcmc is not implemented, want simpleenroll or simplereenroll")
	case !ok:
		return problem.Errorf(http.StatusNotFound, "no-route", "no EST operation %.64q, want cacerts, simpleenroll, simplereenroll, csrattrs or serverkeygen", name)
	case r.Method != op.method && !(op.method == http.MethodGet && r.Method == http.MethodHead):
		w.Header().Set("Allow", op.method)
		return problem.Errorf(http.StatusMethodNotAllowed, "method-not-allowed", "method is %s, want %s", r.Method, op.method)
	}
	var profile *policy.Profile
	if labelled {
		if profile, ok = d.profiles[label]; !ok {
			return problem.Errorf(http.StatusNotFound, "no-route", "no EST label %.64q, want the name of a profile", label)
		}
	}
	// A client whose request is answered before it was read takes that for a broken connection.
	body, err := problem.Body(r, bodyLimit)
	if err != nil {
		return err
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	if !op.Open {
		return d.identified(w, r, func(w http.ResponseWriter, r *http.Request, _ *policy.Peer) error { return op.handle(d, w, r, profile) })
	}
	if err := d.cfg.Endpoints.AuthorizeAnyone(op.Pattern); err != nil {
		return d.cfg.Refused(r, err)
	}
	return op.handle(d, w, r, profile)
}

// doKey is what the context of a request holds that goes through the identity check: what is done then.
type doKey struct{}

// identified calls do for who shows a certificate and may re-enroll.
func (d *door) identified(w http.ResponseWriter, r *http.Request, do func(http.ResponseWriter, *http.Request, *policy.Peer) error) error {
	d.members.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), doKey{}, do)))
	return nil
}

// identify does what the request came for, with who it is from.
func identify(w http.ResponseWriter, r *http.Request) error {
	do, ok := r.Context().Value(doKey{}).(func(http.ResponseWriter, *http.Request, *policy.Peer) error)
	if !ok {
		return errors.New("an EST request for nothing")
	}
	peer, _, _ := mtls.PeerFrom(r.Context()) // server.Door has seen to that
	return do(w, r, peer)
}

// caCerts: RFC 7030 section 4.1.
func (d *door) caCerts(w http.ResponseWriter, _ *http.Request, profile *policy.Profile) error {
	names := policy.CAs()
	if profile != nil {
		names = []string{profile.Role().CA()}
	}
	var certs []*x509.Certificate
	for _, name := range names {
		issuer, err := d.cfg.Issuer(name)
		if err != nil {
			return err
		}
		certs = append(certs, issuer)
	}
	return d.sendCerts(w, append(certs, d.cfg.Root)...)
}

// sendCerts answers with a certs-only PKCS #7.
func (d *door) sendCerts(w http.ResponseWriter, certs ...*x509.Certificate) error {
	body, err := certsOnly(certs)
	if err != nil {
		return err
	}
	return send(w, typeCerts, body)
}

// send answers with base64 on one line: some clients take no other.
func send(w http.ResponseWriter, mediaType string, body []byte) error {
	h := w.Header()
	h.Set("Content-Type", mediaType)
	h.Set("Content-Transfer-Encoding", "base64")
	h.Set("Cache-Control", "no-store")
	_, err := w.Write([]byte(base64.StdEncoding.EncodeToString(body)))
	return err
}

// csrAttrs: RFC 7030 section 4.5.
func (d *door) csrAttrs(w http.ResponseWriter, _ *http.Request, profile *policy.Profile) error {
	if profile == nil {
		w.WriteHeader(http.StatusNoContent)
		return nil
	}
	body, err := keyAttributes(profile.Config())
	if err != nil {
		return err
	}
	return send(w, typeAttrs, body)
}

// A caller is who asks for a certificate.
type caller struct {
	token *enroll.Token // by HTTP Basic, or
	peer  *policy.Peer  // by certificate
}

// enroll: RFC 7030 section 4.2.1.
func (d *door) enroll(w http.ResponseWriter, r *http.Request, profile *policy.Profile) error {
	return d.authenticated(w, r, func(w http.ResponseWriter, r *http.Request, c caller) error {
		csr, err := readRequest(r)
		if err != nil {
			return err
		}
		issued, err := d.issue(r, c, profile, csr)
		return d.answer(w, issued, err)
	})
}

// authenticated finds out who calls: HTTP Basic, if it is there, goes before a certificate (RFC 7030 section 3.2.3).
func (d *door) authenticated(w http.ResponseWriter, r *http.Request, do func(http.ResponseWriter, *http.Request, caller) error) error {
	party, password, basic := r.BasicAuth()
	if !basic {
		if r.TLS != nil && len(r.TLS.PeerCertificates) > 0 {
			return d.identified(w, r, func(w http.ResponseWriter, r *http.Request, peer *policy.Peer) error {
				return do(w, r, caller{peer: peer})
			})
		}
		return d.unauthorized(w, "want the id of the party and its token by HTTP Basic, or its certificate")
	}
	token, err := enroll.VerifyToken(password, d.cfg.TokenKey, d.cfg.Now())
	if err != nil {
		return d.unauthorized(w, err.Error())
	}
	if token.Party != party {
		return d.unauthorized(w, fmt.Sprintf("the user is %.64q, want the party that the token names", party))
	}
	return do(w, r, caller{token: &token})
}

// unauthorized asks for HTTP Basic.
func (d *door) unauthorized(w http.ResponseWriter, detail string) error {
	w.Header().Set("WWW-Authenticate", fmt.Sprintf("Basic realm=%q, charset=\"UTF-8\"", d.cfg.Network))
	return &problem.Error{Status: http.StatusUnauthorized, Name: "authentication-required", Detail: detail}
}

// issue asks the gate on the word of a token, or for the party of a certificate.
func (d *door) issue(r *http.Request, c caller, profile *policy.Profile, csr []byte) (*server.Issued, error) {
	if c.token != nil {
		req := server.Request{
			Party: c.token.Party, Profile: c.token.Profile, CSR: csr, Requester: "token:" + c.token.ID, Protocol: "est", From: r.RemoteAddr, Token: c.token.ID,
		}
		if profile != nil {
			req.Profile = profile.Name()
		}
		return d.cfg.Gate.Issue(r.Context(), req)
	}
	req := server.Request{
		Party: c.peer.Identity.Party, CSR: csr, Requester: c.peer.Identity.String(), Protocol: "est", From: r.RemoteAddr,
	}
	if profile != nil && forEncryption(profile) {
		req.Profile = profile.Name()
		return d.cfg.Gate.IssueEncryption(r.Context(), c.peer.Identity, req)
	}
	if profile != nil {
		req.Profile = profile.Name()
	}
	return d.cfg.Gate.Renew(r.Context(), c.peer.Leaf, req)
}

// forEncryption says whether a profile is for keys that others seal to.
func forEncryption(p *policy.Profile) bool {
	usage, _, _ := p.Usages()
	return usage&x509.KeyUsageDigitalSignature == 0
}

// reenroll: RFC 7030 section 4.2.2.
func (d *door) reenroll(w http.ResponseWriter, r *http.Request, profile *policy.Profile) error {
	peer, _, _ := mtls.PeerFrom(r.Context())
	csr, err := readRequest(r)
	if err != nil {
		return err
	}
	if err := sameNames(csr, peer.Leaf); err != nil {
		return err
	}
	req := server.Request{CSR: csr, Requester: peer.Identity.String(), Protocol: "est", From: r.RemoteAddr}
	if profile != nil {
		req.Profile = profile.Name()
	}
	issued, err := d.cfg.Gate.Renew(r.Context(), peer.Leaf, req)
	return d.answer(w, issued, err)
}

// answer sends the leaf, or 202 for a request that waits for approvers.
func (d *door) answer(w http.ResponseWriter, issued *server.Issued, err error) error {
	if pending, ok := errors.AsType[*server.PendingError](err); ok {
		h := w.Header()
		h.Set("Retry-After", retryAfter)
		h.Set("Content-Type", "text/plain; charset=utf-8")
		w.WriteHeader(http.StatusAccepted)
		_, err := fmt.Fprintf(w, "%v; ask again with the same token and request\n", pending) //nolint:gosec // it is text/plain, and in our words
		return err
	}
	if err != nil {
		return err
	}
	return d.sendCerts(w, issued.Chain[0])
}

// sameNames wants the names of a request to be those of the certificate that it replaces (RFC 7030 section 4.2.2). A request
// without any name asks for the same ones.
func sameNames(der []byte, old *x509.Certificate) error {
	csr, err := policy.ParseCSR(der)
	if err != nil {
		return nil //nolint:nilerr // the gate refuses it with all that is wrong, and records that
	}
	bare := len(csr.Subject.Names) == 0 && len(csr.DNSNames)+len(csr.Addresses)+len(csr.URIs)+len(csr.Emails) == 0
	if bare || bytes.Equal(csr.RawSubject, old.RawSubject) && sameAlternatives(csr, old) {
		return nil
	}
	return problem.Errorf(http.StatusForbidden, "other-names", "the request is for %q with other names than the certificate that it replaces has, want the same ones or none", csr.Subject)
}
