package api

import (
	"net/http"
	"time"

	"github.com/payca/payca/enroll"
	"github.com/payca/payca/enroll/mtls"
	"github.com/payca/payca/ocsp"
	"github.com/payca/payca/policy"
)

// Dial returns a client that calls the CA of the identity in dir, as that
// identity. The server must be a service of the same network; its status is
// asked for, and a status service that does not answer is tolerated.
func Dial(dir string) (*Client, error) {
	source, err := enroll.OpenSource(enroll.SourceConfig{Dir: dir})
	if err != nil {
		return nil, err
	}
	checker, err := ocsp.NewChecker(ocsp.CheckerConfig{Mode: ocsp.SoftFail, AllowPrivate: true})
	if err != nil {
		return nil, err
	}
	conf, err := mtls.Client(source, mtls.AuthorizeRole(policy.Service), checker)
	if err != nil {
		return nil, err
	}
	transport := &http.Transport{TLSClientConfig: conf, ForceAttemptHTTP2: true, IdleConnTimeout: 30 * time.Second}
	return &Client{URL: source.URL(), HTTP: &http.Client{Transport: transport, Timeout: time.Minute}}, nil
}
