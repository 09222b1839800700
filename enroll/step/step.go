package step

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/smallstep/certificates/api"
	"github.com/smallstep/certificates/authority/provisioner"
	"go.step.sm/crypto/jose"

	"github.com/payca/payca/enroll"
	"github.com/payca/payca/enroll/mtls"
	"github.com/payca/payca/enroll/problem"
	"github.com/payca/payca/enroll/server"
	"github.com/payca/payca/policy"
)

// Prefix is what a path may have before it: the version of the API.
const Prefix = "/1.0"

// bodyLimit is how many octets of a request are read.
const bodyLimit = 64 << 10

// Config is what the door needs; every member but Now is required.
type Config struct {
	Network  string
	Version  string // of payca
	Gate     server.Gate
	TokenKey crypto.PublicKey // verifies tokens
	Roots    []*x509.Certificate
	// Revoke revokes a certificate of the caller's for a reason of RFC 5280 section 5.3.1. The request is one that has passed Identify.
	Revoke   func(ctx context.Context, peer *policy.Peer, serial, reason, from string) error
	Problems problem.Writer                  // answers errors, with Render
	Identify func(http.Handler) http.Handler // the identity middleware, which answers with Render too
	// Endpoints is who may call what; Refused records that somebody may not, and returns the answer.
	Endpoints *policy.Endpoints
	Refused   func(r *http.Request, err error) error
	Now       func() time.Time
}

// Render writes a refusal as step-ca does.
func Render(p problem.Problem) (mediaType string, body []byte) {
	body, err := json.Marshal(struct {
		Status  int    `json:"status"`
		Message string `json:"message"`
	}{p.Status, p.Error()})
	if err != nil { // a number and a text cannot fail
		return "text/plain; charset=utf-8", nil
	}
	return "application/json", append(body, '\n')
}

type route struct {
	policy.Endpoint
	handle func(*door, http.ResponseWriter, *http.Request) error
}

func routes() []route {
	open := func(pattern string) policy.Endpoint { return policy.Endpoint{Pattern: pattern, Open: true} }
	known := func(pattern string) policy.Endpoint { return policy.Endpoint{Pattern: pattern} }
	return []route{
		{open("POST /1.0/sign"), (*door).sign},
		{known("POST /1.0/renew"), (*door).renew},
		{known("POST /1.0/rekey"), (*door).rekey},
		{known("POST /1.0/revoke"), (*door).revoke},
		{open("GET /1.0/root/{sha}"), (*door).root},
		{open("GET /1.0/roots"), (*door).roots},
		{open("GET /1.0/roots.pem"), (*door).rootsFile},
		{open("GET /1.0/provisioners"), (*door).provisioners},
		{open("GET /1.0/health"), (*door).health},
		{open("GET /1.0/version"), (*door).version},
	}
}

// Endpoints lists the endpoints of [New], with the prefix.
func Endpoints() []policy.Endpoint {
	var all []policy.Endpoint
	for _, rt := range routes() {
		all = append(all, rt.Endpoint)
	}
	return all
}

// Paths lists the paths that [New] serves, each as http.ServeMux has them, with the prefix and without.
func Paths() []string {
	var all []string
	for _, rt := range routes() {
		_, path, _ := strings.Cut(rt.Pattern, " ")
		all = append(all, path, strings.TrimPrefix(path, Prefix))
	}
	return all
}

type door struct {
	cfg Config
	jwk *jose.JSONWebKey // of the token key
}

// New returns the handler of [Paths].
func New(cfg Config) (http.Handler, error) {
	if cfg.Network == "" || cfg.Gate == nil || cfg.TokenKey == nil || len(cfg.Roots) == 0 || cfg.Revoke == nil || cfg.Identify == nil || cfg.Endpoints == nil || cfg.Refused == nil {
		return nil, errors.New("step door: want Network, Gate, TokenKey, Roots, Revoke, Identify, Endpoints and Refused")
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	key, ok := cfg.TokenKey.(*ecdsa.PublicKey)
	if !ok {
		return nil, errors.New("step door: want a token key on P-256")
	}
	d := &door{cfg: cfg, jwk: &jose.JSONWebKey{Key: key, Use: "sig", Algorithm: jose.ES256}}
	var err error
	if d.jwk.KeyID, err = enroll.KeyHash(key); err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	admission := server.Door{Problems: cfg.Problems, Identify: cfg.Identify, Endpoints: cfg.Endpoints, Refused: cfg.Refused}
	for _, rt := range routes() {
		h := admission.Admit(rt.Endpoint, func(w http.ResponseWriter, r *http.Request) error { return rt.handle(d, w, r) })
		_, path, _ := strings.Cut(rt.Pattern, " ")
		for _, p := range []string{path, strings.TrimPrefix(path, Prefix)} {
			mux.Handle(p, h)
		}
	}
	mux.Handle("/", problem.Handler(cfg.Problems, func(_ http.ResponseWriter, r *http.Request) error {
		return problem.Errorf(http.StatusNotFound, "no-route", "nothing is at %.100q", r.URL.Path)
	}))
	return mux, nil
}

// A signRequest is api.SignRequest as far as it decides something: the request is kept as it is, for the gate to read.
type signRequest struct {
	CSR          string          `json:"csr"`
	OTT          string          `json:"ott"`
	NotAfter     json.RawMessage `json:"notAfter"`
	NotBefore    json.RawMessage `json:"notBefore"`
	TemplateData json.RawMessage `json:"templateData"`
}

// sign redeems a token.
func (d *door) sign(w http.ResponseWriter, r *http.Request) error {
	var req signRequest
	if err := problem.DecodeJSON(r, bodyLimit, &req); err != nil {
		return err
	}
	if given(req.NotAfter) || given(req.NotBefore) || given(req.TemplateData) {
		return problem.Errorf(http.StatusBadRequest, "bad-request", "notAfter, notBefore or templateData is given, want none: the profile decides")
	}
	csr, err := decodeRequest(req.CSR)
	if err != nil {
		return err
	}
	token, err := enroll.VerifyToken(req.OTT, d.cfg.TokenKey, d.cfg.Now())
	if err != nil {
		return &problem.Error{Status: http.StatusUnauthorized, Name: "token", Detail: err.Error(), Err: err}
	}
	issued, err := d.cfg.Gate.Issue(r.Context(), server.Request{
		Party: token.Party, Profile: token.Profile, CSR: csr, Requester: "token:" + token.ID, Protocol: "step", From: r.RemoteAddr, Token: token.ID,
	})
	if pending, ok := errors.AsType[*server.PendingError](err); ok {
		w.Header().Set("Retry-After", "60")
		return problem.Errorf(http.StatusServiceUnavailable, "pending", "%v; ask again with payca enroll, or with the same token and request", pending)
	}
	return d.answer(w, issued, err)
}

// given says whether a member has a value.
func given(raw json.RawMessage) bool {
	switch string(raw) {
	case "", "null", `""`:
		return false
	}
	return true
}

// decodeRequest reads a PKCS #10 request in PEM.
func decodeRequest(text string) ([]byte, error) {
	block, _ := pem.Decode([]byte(text))
	if block == nil || block.Type != "CERTIFICATE REQUEST" && block.Type != "NEW CERTIFICATE REQUEST" {
		return nil, problem.Errorf(http.StatusBadRequest, "bad-request", "csr is no PKCS #10 request, want one in PEM")
	}
	return block.Bytes, nil
}

// renew replaces the certificate of the caller, with the same key.
func (d *door) renew(w http.ResponseWriter, r *http.Request) error { return d.replace(w, r, nil) }

// rekey replaces the certificate of the caller, with the key of the request.
func (d *door) rekey(w http.ResponseWriter, r *http.Request) error {
	var req struct {
		CSR string `json:"csr"`
	}
	if err := problem.DecodeJSON(r, bodyLimit, &req); err != nil {
		return err
	}
	csr, err := decodeRequest(req.CSR)
	if err != nil {
		return err
	}
	return d.replace(w, r, csr)
}

func (d *door) replace(w http.ResponseWriter, r *http.Request, csr []byte) error {
	peer, _, _ := mtls.PeerFrom(r.Context())
	issued, err := d.cfg.Gate.Renew(r.Context(), peer.Leaf, server.Request{CSR: csr, Requester: peer.Identity.String(), Protocol: "step", From: r.RemoteAddr})
	return d.answer(w, issued, err)
}

// answer sends certificate and issuer, with 201 as step-ca does.
func (d *door) answer(w http.ResponseWriter, issued *server.Issued, err error) error {
	if err != nil {
		return err
	}
	chain := wrapped(issued.Chain)
	return problem.WriteJSON(w, http.StatusCreated, api.SignResponse{ServerPEM: chain[0], CaPEM: chain[1], CertChainPEM: chain})
}

func wrapped(certs []*x509.Certificate) []api.Certificate {
	var list []api.Certificate
	for _, c := range certs {
		list = append(list, api.NewCertificate(c))
	}
	return list
}

// root: GET /1.0/root/{sha}, the root with that SHA-256.
func (d *door) root(w http.ResponseWriter, r *http.Request) error {
	want := strings.ToLower(strings.ReplaceAll(r.PathValue("sha"), "-", ""))
	for _, root := range d.cfg.Roots {
		if sum := sha256.Sum256(root.Raw); hex.EncodeToString(sum[:]) == want {
			return problem.WriteJSON(w, http.StatusOK, api.RootResponse{RootPEM: api.NewCertificate(root)})
		}
	}
	return problem.Errorf(http.StatusNotFound, "not-found", "no root of this network has the SHA-256 %.100q", want)
}

func (d *door) roots(w http.ResponseWriter, _ *http.Request) error {
	return problem.WriteJSON(w, http.StatusCreated, api.RootsResponse{Certificates: wrapped(d.cfg.Roots)})
}

func (d *door) rootsFile(w http.ResponseWriter, _ *http.Request) error {
	w.Header().Set("Content-Type", "application/x-pem-file")
	for _, root := range d.cfg.Roots {
		if err := pem.Encode(w, &pem.Block{Type: "CERTIFICATE", Bytes: root.Raw}); err != nil {
			return err
		}
	}
	return nil
}

// provisioners tells of the one that there is: the key that signs tokens.
func (d *door) provisioners(w http.ResponseWriter, _ *http.Request) error {
	return problem.WriteJSON(w, http.StatusOK, api.ProvisionersResponse{Provisioners: provisioner.List{
		&provisioner.JWK{Type: "JWK", Name: "payca", Key: d.jwk},
	}})
}

func (d *door) health(w http.ResponseWriter, _ *http.Request) error {
	return problem.WriteJSON(w, http.StatusOK, api.HealthResponse{Status: "ok"})
}

func (d *door) version(w http.ResponseWriter, _ *http.Request) error {
	return problem.WriteJSON(w, http.StatusOK, api.VersionResponse{Version: d.cfg.Version})
}
