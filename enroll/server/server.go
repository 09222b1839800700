package server

import (
	"context"
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/payca/payca/enroll"
	"github.com/payca/payca/enroll/mtls"
	"github.com/payca/payca/enroll/problem"
	"github.com/payca/payca/policy"
)

// bodyLimit is how many octets of a request are read.
const bodyLimit = 64 << 10

// A Request is what the gate decides about. Whoever makes it has authenticated the requester.
type Request struct {
	Party     string // id of the party; ignored by Renew
	Profile   string // of Renew: "", or that of the old certificate
	CSR       []byte // PKCS#10, DER
	Requester string // on whose word, for the record
	Protocol  string // token, renew or issue
	From      string // remote address
	Token     string // id of the token to redeem
}

// Issued is what the gate made.
type Issued struct {
	Identity policy.Identity
	Chain    []*x509.Certificate // the certificate, then its issuer's
}

// A Gate issues certificates. Issue redeems the token in the commit of the
// issuance, so that it is used once. Renew takes party and profile from its
// own record of the old certificate, which it must find there, valid. A refusal is policy.Violations or an error
// that problem.Writer maps; a *[PendingError] says that the request waits for approvers. All are safe for concurrent use.
type Gate interface {
	Issue(ctx context.Context, req Request) (*Issued, error)
	Renew(ctx context.Context, old *x509.Certificate, req Request) (*Issued, error)
	// Fulfil returns the certificate of a request that was approved, or the *[PendingError] of one that waits.
	Fulfil(ctx context.Context, id, from string) (*Issued, error)
	// Vote records what an approver signed about a request.
	Vote(ctx context.Context, id, object, from string) error
	// IssueEncryption issues req.Party a certificate that others seal to. It refuses a profile that is not
	// for encryption, or not for the caller's role, and a key that signs.
	IssueEncryption(ctx context.Context, caller policy.Identity, req Request) (*Issued, error)
}

// A PendingError says that a request was filed, and what it waits for.
type PendingError struct{ enroll.Pending }

// Error says what it waits for.
func (e *PendingError) Error() string {
	return fmt.Sprintf("request %s waits for approval: %d of %s are missing", e.ID, e.Missing, e.Wants)
}

// Config is what a server needs; every member but Known and Now is required.
type Config struct {
	Network  string
	Gate     Gate
	TokenKey crypto.PublicKey // verifies tokens
	// Known says whether the CA made exactly the token with that id and SHA-256; nil if only its signature can say it.
	Known    func(ctx context.Context, id string, sum [32]byte) bool
	Roots    []*x509.Certificate
	Problems problem.Writer
	Identify func(http.Handler) http.Handler // the identity middleware, for renewal and issue
	// Endpoints is who may call what; Refused records that somebody may not, and returns the answer.
	Endpoints *policy.Endpoints
	Refused   func(r *http.Request, err error) error
	Now       func() time.Time
}

// New returns the handler of the enrollment routes.
func New(cfg Config) (http.Handler, error) {
	if cfg.Network == "" || cfg.Gate == nil || cfg.TokenKey == nil || len(cfg.Roots) == 0 || cfg.Identify == nil || cfg.Endpoints == nil || cfg.Refused == nil {
		return nil, errors.New("enrollment server: want Network, Gate, TokenKey, Roots, Identify, Endpoints and Refused")
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	s := &server{cfg: cfg}
	for _, root := range cfg.Roots {
		s.roots = append(s.roots, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: root.Raw})...)
	}
	mux := http.NewServeMux()
	admission := Door{cfg.Problems, cfg.Identify, cfg.Endpoints, cfg.Refused}
	for _, rt := range routes() {
		_, path, _ := strings.Cut(rt.Pattern, " ")
		mux.Handle(path, admission.Admit(rt.Endpoint, func(w http.ResponseWriter, r *http.Request) error { return rt.handle(s, w, r) }))
	}
	mux.Handle("/", problem.Handler(cfg.Problems, func(_ http.ResponseWriter, r *http.Request) error {
		return &problem.Error{Status: http.StatusNotFound, Name: "no-route", Detail: "nothing is at " + r.URL.Path}
	}))
	return mux, nil
}

type server struct {
	cfg   Config
	roots []byte // PEM
}

// only refuses other methods.
func only(problems problem.Writer, method string, next http.Handler) http.Handler {
	return problem.Handler(problems, func(w http.ResponseWriter, r *http.Request) error {
		if r.Method != method && !(method == http.MethodGet && r.Method == http.MethodHead) {
			w.Header().Set("Allow", method)
			return &problem.Error{Status: http.StatusMethodNotAllowed, Name: "method-not-allowed", Detail: "method is " + r.Method + ", want " + method}
		}
		next.ServeHTTP(w, r)
		return nil
	})
}

// enroll redeems a token.
func (s *server) enroll(w http.ResponseWriter, r *http.Request) error {
	var req enroll.EnrollRequest
	if err := problem.DecodeJSON(r, bodyLimit, &req); err != nil {
		return err
	}
	token, err := s.readToken(r.Context(), req.Token)
	if err != nil {
		return tokenProblem(err)
	}
	issued, err := s.cfg.Gate.Issue(r.Context(), Request{
		Party: token.Party, Profile: token.Profile, CSR: req.CSR, Requester: "token:" + token.ID,
		Protocol: "token", From: r.RemoteAddr, Token: token.ID,
	})
	return s.answer(w, issued, err)
}

// readToken believes a token whose text the CA knows, or whose signature verifies; the first costs a tenth of the second.
func (s *server) readToken(ctx context.Context, text string) (enroll.Token, error) {
	if s.cfg.Known != nil {
		token, err := enroll.CheckToken(text, s.cfg.Now())
		if err == nil && s.cfg.Known(ctx, token.ID, sha256.Sum256([]byte(text))) {
			return token, nil
		}
	}
	return enroll.VerifyToken(text, s.cfg.TokenKey, s.cfg.Now())
}

// fetch answers who asks what became of a request: its id is as hard to guess as a key, and the certificate is public.
func (s *server) fetch(w http.ResponseWriter, r *http.Request) error {
	issued, err := s.cfg.Gate.Fulfil(r.Context(), r.PathValue("id"), r.RemoteAddr)
	return s.answer(w, issued, err)
}

// vote takes the approval object of a bank from whoever brings it: its signature says whose it is.
func (s *server) vote(w http.ResponseWriter, r *http.Request) error {
	var req enroll.VoteRequest
	if err := problem.DecodeJSON(r, bodyLimit, &req); err != nil {
		return err
	}
	if err := s.cfg.Gate.Vote(r.Context(), r.PathValue("id"), req.Vote, r.RemoteAddr); err != nil {
		return err
	}
	return s.fetch(w, r)
}

// answer sends a certificate, or what it waits for, with 202.
func (s *server) answer(w http.ResponseWriter, issued *Issued, err error) error {
	if pending, ok := errors.AsType[*PendingError](err); ok {
		w.Header().Set("Location", "/v1/enroll/"+pending.ID)
		w.Header().Set("Retry-After", "5")
		return problem.WriteJSON(w, http.StatusAccepted, enroll.Reply{Network: s.cfg.Network, Party: pending.Party, Pending: &pending.Pending})
	}
	if err != nil {
		return err
	}
	return s.reply(w, issued)
}

func tokenProblem(err error) error {
	var refused *enroll.TokenError
	if !errors.As(err, &refused) {
		return err
	}
	status := http.StatusBadRequest
	switch refused.Rule {
	case "token-key", "token-signature", "token-time":
		status = http.StatusUnauthorized
	}
	return &problem.Error{Status: status, Name: refused.Rule, Err: err}
}

// renew replaces the certificate that the client calls with.
func (s *server) renew(w http.ResponseWriter, r *http.Request) error {
	peer, _, ok := mtls.PeerFrom(r.Context())
	if !ok {
		return errors.New("renewal behind no identity middleware")
	}
	var req enroll.RenewRequest
	if err := problem.DecodeJSON(r, bodyLimit, &req); err != nil {
		return err
	}
	issued, err := s.cfg.Gate.Renew(r.Context(), peer.Leaf, Request{
		CSR: req.CSR, Requester: peer.Identity.String(), Protocol: "renew", From: r.RemoteAddr,
	})
	if err != nil {
		return err
	}
	return s.reply(w, issued)
}

// issue gives the party that calls a certificate that others seal to.
func (s *server) issue(w http.ResponseWriter, r *http.Request) error {
	peer, _, ok := mtls.PeerFrom(r.Context())
	if !ok {
		return errors.New("issue behind no identity middleware")
	}
	var req enroll.IssueRequest
	if err := problem.DecodeJSON(r, bodyLimit, &req); err != nil {
		return err
	}
	issued, err := s.cfg.Gate.IssueEncryption(r.Context(), peer.Identity, Request{
		Party: peer.Identity.Party, Profile: req.Profile, CSR: req.CSR,
		Requester: peer.Identity.String(), Protocol: "issue", From: r.RemoteAddr,
	})
	return s.answer(w, issued, err)
}

func (s *server) reply(w http.ResponseWriter, is *Issued) error {
	var chain []byte
	for _, c := range is.Chain {
		chain = append(chain, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})...)
	}
	leaf := is.Chain[0]
	return problem.WriteJSON(w, http.StatusOK, enroll.Reply{
		Network: s.cfg.Network, Role: is.Identity.Role, Party: is.Identity.Party, Serial: fmt.Sprintf("%x", leaf.SerialNumber),
		NotAfter: leaf.NotAfter, Certificate: string(chain), Roots: string(s.roots),
	})
}

func (s *server) showRoots(w http.ResponseWriter, _ *http.Request) error {
	return problem.WriteJSON(w, http.StatusOK, enroll.RootsReply{Network: s.cfg.Network, Roots: string(s.roots)})
}

func (s *server) rootsFile(w http.ResponseWriter, _ *http.Request) error {
	w.Header().Set("Content-Type", "application/x-pem-file")
	_, err := w.Write(s.roots)
	return err
}
