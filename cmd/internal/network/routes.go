package network

import (
	"crypto/x509"
	"net/http"
	"path"
	"strings"
	"time"

	"github.com/payca/payca/ca/status"
	"github.com/payca/payca/cmd/internal/api"
	"github.com/payca/payca/enroll/est"
	"github.com/payca/payca/enroll/mtls"
	"github.com/payca/payca/enroll/problem"
	"github.com/payca/payca/enroll/server"
	"github.com/payca/payca/enroll/step"
	"github.com/payca/payca/policy"
)

// routes puts every door and the API behind one identity check.
func (n *Network) routes() (http.Handler, error) {
	problems := problem.Writer{Mappers: []problem.Mapper{api.MapError}, Logger: n.logger}
	trust, err := n.clientTrust()
	if err != nil {
		return nil, err
	}
	operations, err := api.New(api.Config{
		Network: n.config.Network, URL: n.URL(), Root: n.root, Authority: n.authority, Store: n.store, Status: n.status,
		TokenKey: n.tokenKey, LogKey: n.logKey, Backup: n.backup, Problems: problems, Identify: n.identify(trust, problems), Sinks: n.sinkHealth, Notices: n.noticeHealth,
		Recheck: n.recheck.ask, RecheckHealth: n.recheck.health,
		Endpoints: n.endpoints, Found: n.found, Many: n.config.Approvals.ManyOrDefault(), Keys: n.keyUses, Suites: n.suiteUses, Now: n.now,
	})
	if err != nil {
		return nil, err
	}
	if n.directory, err = server.NewDirectory(n.finder(), n.newest, problems); err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.Handle("/v1/", operations)
	mux.Handle(status.FeedPath, n.status)
	mux.Handle(server.DirectoryPath, n.directory)
	return mux, n.doors(mux, trust, problems)
}

// clientTrust is whom the CA believes: its own. Devices present what they were sent, which is the leaf alone.
func (n *Network) clientTrust() (policy.Trust, error) {
	trust := n.Trust()
	for _, name := range policy.CAs() {
		issuer, err := n.authority.Issuer(name)
		if err != nil {
			return trust, err
		}
		trust.Issuers = append(trust.Issuers, issuer)
	}
	return trust, nil
}

// identify is the one identity check, whose refusals are written as problems says.
func (n *Network) identify(trust policy.Trust, problems problem.Writer) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return mtls.Handler(mtls.HandlerConfig{
			Trust: trust, Authorize: mtls.AuthorizeRole(policy.Roles()...),
			Status: localStatus{n.store, n.now}, Grace: n.grace, Problems: problems, Now: n.now,
		}, next)
	}
}

// grace is for how long after its end a certificate still serves for its own renewal, and for nothing else.
func (n *Network) grace(r *http.Request, leaf *x509.Certificate) time.Duration {
	switch path.Base(r.URL.Path) {
	case "renew", "rekey", "simplereenroll":
		return n.authority.RenewGrace(r.Context(), leaf)
	}
	return 0
}

// doors adds the ways to certificates: our own, EST and that of step-ca. Each refuses in its own form.
func (n *Network) doors(mux *http.ServeMux, trust policy.Trust, problems problem.Writer) error {
	roots := []*x509.Certificate{n.root}
	enrollment, err := server.New(server.Config{
		Gate: gate{core: n.core, now: n.now}, TokenKey: n.tokenKey.Public(), Known: n.knowsToken, Roots: roots, Network: n.config.Network,
		Problems: problems, Identify: n.identify(trust, problems), Endpoints: n.endpoints, Refused: n.refused, Now: n.now,
	})
	if err != nil {
		return err
	}
	text, theirs := problems, problems
	text.Render, theirs.Render = est.Render, step.Render
	devices, err := est.New(est.Config{
		Network: n.config.Network, Gate: gate{core: n.core, now: n.now}, TokenKey: n.tokenKey.Public(), Issuer: n.authority.Issuer, Root: n.root, Profiles: n.profiles,
		Problems: text, Identify: n.identify(trust, text), Endpoints: n.endpoints, Refused: n.refused, Now: n.now,
	})
	if err != nil {
		return err
	}
	programs, err := step.New(step.Config{
		Network: n.config.Network, Version: stepVersion, Gate: gate{core: n.core, now: n.now}, TokenKey: n.tokenKey.Public(), Roots: roots, Revoke: n.revokeOwn,
		Problems: theirs, Identify: n.identify(trust, theirs), Endpoints: n.endpoints, Refused: n.refused, Now: n.now,
	})
	if err != nil {
		return err
	}
	mux.Handle(est.Path, devices)
	mux.Handle(step.Prefix+"/", programs)
	for _, p := range step.Paths() {
		if !strings.HasPrefix(p, step.Prefix) && p != "/roots.pem" {
			mux.Handle(p, programs)
		}
	}
	for _, p := range []string{"/", "/v1/enroll", "/v1/enroll/", "/v1/renew", "/v1/issue", "/v1/roots"} {
		mux.Handle(p, enrollment)
	}
	return nil
}
