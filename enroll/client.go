package enroll

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/payca/payca/enroll/problem"
	"github.com/payca/payca/policy"
)

// ClientConfig says which CA to call, and how to know it.
type ClientConfig struct {
	URL         string // https://HOST[:PORT]
	Network     string
	Roots       []*x509.Certificate              // what the CA's certificate must chain to
	Certificate func() (*tls.Certificate, error) // who calls, nil for nobody
	Now         func() time.Time                 // nil: time.Now
}

// A Client calls the enrollment routes of a CA.
type Client struct {
	url  string
	http *http.Client
}

// An EnrollRequest is the body of POST /v1/enroll.
type EnrollRequest struct {
	Token string `json:"token"`
	CSR   []byte `json:"csr"` // PKCS#10, DER
}

// A RenewRequest is the body of POST /v1/renew.
type RenewRequest struct {
	CSR []byte `json:"csr"` // PKCS#10, DER
}

// An IssueRequest is the body of POST /v1/issue.
type IssueRequest struct {
	Profile string `json:"profile"` // of a certificate for encryption: gateway-encryption
	CSR     []byte `json:"csr"`     // PKCS#10, DER
}

// A Reply is what the CA sends with a certificate.
type Reply struct {
	Network     string      `json:"network"`
	Role        policy.Role `json:"role"`
	Party       string      `json:"party"`
	Serial      string      `json:"serial"`
	NotAfter    time.Time   `json:"not_after"`
	Certificate string      `json:"certificate"` // PEM: the certificate, then its issuer's
	Roots       string      `json:"roots"`       // PEM
	Pending     *Pending    `json:"pending,omitempty"`
}

// A Pending is what a request waits for; with it a [Reply] has no certificate yet.
type Pending struct {
	ID       string    `json:"id"`    // SHA-256 of the request, hexadecimal: what approvers approve, and who asks what became of it names
	Party    string    `json:"party"` //
	Wants    string    `json:"wants"` // "2 of 3 operators"
	Missing  int       `json:"missing"`
	NotAfter time.Time `json:"not_after"` // approved later it is not done any more
}

// A VoteRequest is the body of POST /v1/enroll/{id}/votes.
type VoteRequest struct {
	Vote string `json:"vote"` // from policy.SignVote
}

// A RootsReply is the body of GET /v1/roots.
type RootsReply struct {
	Network string `json:"network"`
	Roots   string `json:"roots"` // PEM
}

// NewClient returns a client that calls only a server whose certificate
// chains to the roots, carries the host of the URL, and is a service of the network.
func NewClient(cfg ClientConfig) (*Client, error) {
	if cfg.URL == "" || len(cfg.Roots) == 0 || cfg.Network == "" {
		return nil, errors.New("enrollment client: want URL, Network and Roots")
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	pool := x509.NewCertPool()
	for _, root := range cfg.Roots {
		pool.AddCert(root)
	}
	trust := policy.Trust{Network: cfg.Network, Roots: cfg.Roots}
	conf := &tls.Config{
		MinVersion: tls.VersionTLS12, RootCAs: pool, Time: cfg.Now,
		VerifyConnection: func(cs tls.ConnectionState) error {
			peer, err := trust.Identify(cs.PeerCertificates, policy.ServerUse, cfg.Now())
			if err == nil && peer.Identity.Role != policy.Service {
				err = &policy.Violation{Rule: "role", Field: "server", Got: string(peer.Identity.Role), Want: string(policy.Service)}
			}
			return err
		},
	}
	if cfg.Certificate != nil {
		conf.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return cfg.Certificate() }
	}
	return &Client{url: cfg.URL, http: newHTTP(conf)}, nil
}

func newHTTP(conf *tls.Config) *http.Client {
	return &http.Client{
		Timeout:       time.Minute,
		Transport:     &http.Transport{TLSClientConfig: conf, ForceAttemptHTTP2: true, Proxy: http.ProxyFromEnvironment, DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// FetchRoots asks the CA that the token names for its root, over a connection that is
// not verified, and returns it only if it has the fingerprint that the token names.
func FetchRoots(ctx context.Context, t Token) ([]*x509.Certificate, error) {
	c := &Client{url: t.URL, http: newHTTP(&tls.Config{
		MinVersion:         tls.VersionTLS12,
		InsecureSkipVerify: true, //nolint:gosec // what comes back is believed for its fingerprint only
	})}
	var reply RootsReply
	if err := c.call(ctx, http.MethodGet, "/v1/roots", nil, &reply); err != nil {
		return nil, fmt.Errorf("fetching the root of %s: %w", t.Network, err)
	}
	found, err := parseCertificates([]byte(reply.Roots))
	if err != nil {
		return nil, fmt.Errorf("fetching the root of %s: %w", t.Network, err)
	}
	for _, root := range found {
		if Fingerprint(root) == t.RootFingerprint {
			return []*x509.Certificate{root}, nil
		}
	}
	return nil, &TokenError{Rule: "root-fingerprint", Got: fmt.Sprintf("%s shows root sha256:%s", t.URL, Fingerprint(found[0])), Want: "sha256:" + t.RootFingerprint + ", which the token names"}
}

// Enroll redeems a token for a certificate on the key that signed csr.
func (c *Client) Enroll(ctx context.Context, token string, csr []byte) (*Reply, error) {
	var reply Reply
	if err := c.call(ctx, http.MethodPost, "/v1/enroll", EnrollRequest{Token: token, CSR: csr}, &reply); err != nil {
		return nil, err
	}
	return &reply, nil
}

// Fetch asks what became of a request that waits for approval.
func (c *Client) Fetch(ctx context.Context, id string) (*Reply, error) {
	var reply Reply
	if err := c.call(ctx, http.MethodGet, "/v1/enroll/"+url.PathEscape(id), nil, &reply); err != nil {
		return nil, err
	}
	return &reply, nil
}

// Vote delivers what an approver signed about a request, and asks what became of it.
func (c *Client) Vote(ctx context.Context, id, object string) (*Reply, error) {
	var reply Reply
	if err := c.call(ctx, http.MethodPost, "/v1/enroll/"+url.PathEscape(id)+"/votes", VoteRequest{Vote: object}, &reply); err != nil {
		return nil, err
	}
	return &reply, nil
}

// Renew asks for a certificate in the place of the one the client calls with.
func (c *Client) Renew(ctx context.Context, csr []byte) (*Reply, error) {
	var reply Reply
	if err := c.call(ctx, http.MethodPost, "/v1/renew", RenewRequest{CSR: csr}, &reply); err != nil {
		return nil, err
	}
	return &reply, nil
}

// Issue asks for a certificate for encryption, of the party that the client calls as.
func (c *Client) Issue(ctx context.Context, profile string, csr []byte) (*Reply, error) {
	var reply Reply
	if err := c.call(ctx, http.MethodPost, "/v1/issue", IssueRequest{Profile: profile, CSR: csr}, &reply); err != nil {
		return nil, err
	}
	return &reply, nil
}

// call sends in as JSON and reads the reply into out. A refusal is a *problem.Problem.
func (c *Client) call(ctx context.Context, method, path string, in, out any) error {
	return problem.Call(ctx, c.http, method, c.url+path, in, out)
}
