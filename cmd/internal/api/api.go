package api

import (
	"context"
	"crypto"
	"crypto/x509"
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/payca/payca/ca"
	"github.com/payca/payca/ca/audit"
	"github.com/payca/payca/ca/status"
	"github.com/payca/payca/cmd/internal/notice"
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
	// Backup records the event and takes a copy of the CA, for GET /v1/backup.
	Backup   func(ctx context.Context, event audit.Event) (Backup, error)
	Problems problem.Writer
	Identify func(http.Handler) http.Handler // the identity middleware
	// Endpoints is who may call what.
	Endpoints *policy.Endpoints
	// Many is from how many certificates on revoking them at once may need approval.
	Many int
	// Found reads a proposal for what is to be in force: a policy file, or issuing CA certificates.
	Found   func(kind string, files map[string][]byte) (any, error)
	Sinks   func() []sink.Health                          // how the sinks of the audit log are
	Notices func(context.Context) (*notice.Health, error) // nil if nobody is told of certificates that end soon
	Keys    func() []KeyUse                               // the CA's own keys
	Suites  func() []SuiteUse                             // what its listeners offer and negotiated
	// Recheck has the inventory looked at now, on somebody's word, unless that is under way.
	Recheck func(by string)
	// RecheckHealth is how the re-checks of the inventory are, and what alarms they raise.
	RecheckHealth func(context.Context) (RecheckHealth, []status.Alarm, error)
	Now           func() time.Time
}

// New returns the handler of the /v1 routes that are the API's own.
func New(cfg Config) (http.Handler, error) {
	if cfg.Authority == nil || cfg.Store == nil || cfg.Status == nil || cfg.TokenKey == nil || cfg.Root == nil || cfg.Backup == nil || cfg.Identify == nil || cfg.Endpoints == nil || cfg.Found == nil || cfg.Recheck == nil || cfg.RecheckHealth == nil {
		return nil, errors.New("api: want Authority, Store, Status, TokenKey, Root, Backup, Identify, Endpoints, Found, Recheck and RecheckHealth")
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	a := &api{cfg}
	mux := http.NewServeMux()
	for _, rt := range routes() {
		mux.Handle(rt.pattern, problem.Handler(cfg.Problems, a.admit(rt)))
	}
	mux.Handle("/", problem.Handler(cfg.Problems, func(_ http.ResponseWriter, r *http.Request) error {
		return &problem.Error{Status: http.StatusNotFound, Name: "no-route", Detail: "nothing is at " + r.Method + " " + r.URL.Path}
	}))
	return cfg.Identify(mux), nil
}

type api struct{ cfg Config }

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
