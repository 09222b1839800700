package api

import (
	"net/http"
	"time"

	"github.com/payca/payca/enroll"
	"github.com/payca/payca/enroll/mtls"
	"github.com/payca/payca/ocsp"
	"github.com/payca/payca/policy"
)

// NewClient returns a client that calls the CA of a source's identity, as that
// identity. The server must be a service of the same network; its status is
// asked for, and a status service that does not answer is tolerated.
func NewClient(source *enroll.Source) (*Client, error) {
	checker, err := ocsp.NewChecker(ocsp.CheckerConfig{Mode: ocsp.SoftFail, AllowPrivate: true})
	if err != nil {
		return nil, err
	}
	transport, err := mtls.Transport(source, mtls.AuthorizeRole(policy.Service), checker)
	if err != nil {
		return nil, err
	}
	return &Client{URL: source.URL(), HTTP: &http.Client{Transport: transport, Timeout: time.Minute}}, nil
}
