package api

import (
	"crypto"
	"crypto/x509"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/payca/payca/ca"
	"github.com/payca/payca/ca/audit"
	"github.com/payca/payca/ca/status"
	"github.com/payca/payca/cmd/internal/sink"
	"github.com/payca/payca/enroll/mtls"
	"github.com/payca/payca/enroll/problem"
	"github.com/payca/payca/policy"
)

// bodyLimit is how many bytes of a request are read.
const bodyLimit = 64 << 10

// Config is what the API is made of; every member but Sinks and Now is required.
type Config struct {
	Network   string
	URL       string // of the https listener, written into tokens
	Root      *x509.Certificate
	Authority *ca.Authority
	Store     ca.Store
	Status    *status.Service
	TokenKey  crypto.Signer // ECDSA P-256
	LogKey    string        // verifier key of the audit log
	Problems  problem.Writer
	Identify  func(http.Handler) http.Handler // the identity middleware
	Sinks     func() []sink.Health            // how the sinks of the audit log are
	Now       func() time.Time
}

// New returns the handler of the /v1 routes that are the API's own.
func New(cfg Config) (http.Handler, error) {
	if cfg.Authority == nil || cfg.Store == nil || cfg.Status == nil || cfg.TokenKey == nil || cfg.Root == nil || cfg.Identify == nil {
		return nil, errors.New("api: want Authority, Store, Status, TokenKey, Root and Identify")
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	a := &api{cfg}
	mux := http.NewServeMux()
	route := func(pattern string, handle func(http.ResponseWriter, *http.Request) error) {
		mux.Handle(pattern, problem.Handler(cfg.Problems, handle))
	}
	route("GET /v1/parties", a.read(a.listParties))
	route("POST /v1/parties", a.operate(a.addParty))
	route("GET /v1/parties/{id}", a.read(a.showParty))
	route("POST /v1/tokens", a.operate(a.createToken))
	route("GET /v1/certificates", a.listCertificates)
	route("GET /v1/certificates/{serial}", a.showCertificate)
	route("POST /v1/revocations", a.revoke)
	route("GET /v1/audit/head", a.read(a.logHead))
	route("GET /v1/audit/leaves", a.read(a.logLeaves))
	route("GET /v1/audit/hashes", a.read(a.logHashes))
	route("GET /v1/audit/proof/{index}", a.read(a.logProof))
	route("GET /v1/audit/consistency", a.read(a.logConsistency))
	route("GET /v1/health", a.read(a.health))
	route("/", func(_ http.ResponseWriter, r *http.Request) error {
		return &problem.Error{Status: http.StatusNotFound, Name: "no-route", Detail: "nothing is at " + r.Method + " " + r.URL.Path}
	})
	return cfg.Identify(mux), nil
}

type api struct{ cfg Config }

type handler = func(http.ResponseWriter, *http.Request) error

// operate admits operators only.
func (a *api) operate(next handler) handler { return a.admit(next, policy.Operator) }

// read admits operators and auditors.
func (a *api) read(next handler) handler { return a.admit(next, policy.Operator, policy.Auditor) }

func (a *api) admit(next handler, roles ...policy.Role) handler {
	authorize := mtls.AuthorizeRole(roles...)
	return func(w http.ResponseWriter, r *http.Request) error {
		peer, err := caller(r)
		if err != nil {
			return err
		}
		if err := authorize(peer); err != nil {
			event := a.event(r, audit.OperatorRefused)
			event.Reason = r.Method + " " + r.URL.Path + ": " + err.Error()
			if logErr := a.cfg.Store.Append(r.Context(), event); logErr != nil {
				return logErr
			}
			return &problem.Error{Status: http.StatusForbidden, Name: "wrong-role", Detail: err.Error()}
		}
		return next(w, r)
	}
}

// caller returns the identity that the middleware verified.
func caller(r *http.Request) (*policy.Peer, error) {
	peer, _, ok := mtls.PeerFrom(r.Context())
	if !ok {
		return nil, &problem.Error{Status: http.StatusUnauthorized, Name: "no-identity", Detail: "the request carries no client certificate, want one issued by this network"}
	}
	return peer, nil
}

// event starts an audit event in the caller's name.
func (a *api) event(r *http.Request, kind audit.Kind) audit.Event {
	event := audit.Event{Time: a.cfg.Now().UTC(), Kind: kind, From: r.RemoteAddr}
	if peer, err := caller(r); err == nil {
		event.Actor = peer.Identity.String()
	}
	return event
}

// A Page is one page of a list.
type Page[T any] struct {
	Items []T    `json:"items"`
	Next  string `json:"next,omitempty"` // cursor of the next page, absent on the last
}

// pageLimit reads ?limit=, 1 to 1000, 100 when absent.
func pageLimit(r *http.Request) (int, error) {
	text := r.URL.Query().Get("limit")
	if text == "" {
		return 100, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > 1000 {
		return 0, badParameter("limit", text, "a number from 1 to 1000")
	}
	return n, nil
}

func badParameter(name, got, want string) error {
	return &problem.Error{Status: http.StatusBadRequest, Name: "bad-parameter", Detail: name + " is " + strconv.Quote(got) + ", want " + want}
}

func reply(w http.ResponseWriter, code int, body any) error {
	raw, err := json.Marshal(body)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(code)
	_, err = w.Write(append(raw, '\n'))
	return err
}
