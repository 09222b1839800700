package mtls

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/payca/payca/enroll"
	"github.com/payca/payca/enroll/problem"
	"github.com/payca/payca/ocsp"
	"github.com/payca/payca/policy"
)

// handshakeTimeout bounds the status look-ups of one handshake.
const handshakeTimeout = 10 * time.Second

// A StatusChecker says whether a certificate is revoked. *ocsp.Checker is one.
// A nil error lets the certificate pass, whatever the verdict says.
type StatusChecker interface {
	Check(ctx context.Context, leaf, issuer *x509.Certificate, staple []byte) (ocsp.Verdict, error)
}

// StatusFunc is a function that is a [StatusChecker].
type StatusFunc func(ctx context.Context, leaf, issuer *x509.Certificate, staple []byte) (ocsp.Verdict, error)

// Check implements [StatusChecker].
func (f StatusFunc) Check(ctx context.Context, leaf, issuer *x509.Certificate, staple []byte) (ocsp.Verdict, error) {
	return f(ctx, leaf, issuer, staple)
}

// Server returns the configuration of a TLS server that presents the
// certificate of src and accepts only the clients that authorize and status let pass.
// Clients see their refusal as a TLS alert, after which [Handler] has no say.
func Server(src *enroll.Source, authorize Authorizer, status StatusChecker) (*tls.Config, error) {
	c, err := checkOf(src, policy.ClientUse, authorize, status)
	if err != nil {
		return nil, err
	}
	return &tls.Config{
		MinVersion: tls.VersionTLS13,
		Time:       src.Now,
		ClientAuth: tls.RequireAndVerifyClientCert,
		ClientCAs:  pool(c.identifier.trust),
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			return src.Certificate()
		},
		VerifyConnection: c.verifyConnection,
	}, nil
}

// Client returns the configuration of a TLS client that presents the
// certificate of src and accepts only the servers that authorize and status let pass. The name of the server
// is checked as always.
func Client(src *enroll.Source, authorize Authorizer, status StatusChecker) (*tls.Config, error) {
	c, err := checkOf(src, policy.ServerUse, authorize, status)
	if err != nil {
		return nil, err
	}
	return clientConfig(src, c), nil
}

func clientConfig(src *enroll.Source, c check) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13,
		Time:       src.Now,
		RootCAs:    pool(c.identifier.trust),
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			return src.Certificate()
		},
		VerifyConnection: c.verifyConnection,
	}
}

func pool(trust policy.Trust) *x509.CertPool {
	p := x509.NewCertPool()
	for _, root := range trust.Roots {
		p.AddCert(root)
	}
	return p
}

// A check is everything that is asked of a peer. Its copies share what the identifier remembers.
type check struct {
	identifier *Identifier
	use        policy.Use
	authorize  Authorizer
	status     StatusChecker
	grace      func(leaf *x509.Certificate) time.Duration // nil for none
}

func checkOf(src *enroll.Source, use policy.Use, authorize Authorizer, status StatusChecker) (check, error) {
	if src == nil {
		return check{}, errors.New("mutual TLS without a certificate source, want one")
	}
	c := check{identifier: NewIdentifier(src.Trust(), src.Now), use: use, authorize: authorize, status: status}
	return c, c.complete()
}

func (c check) complete() error {
	switch {
	case len(c.identifier.trust.Roots) == 0:
		return errors.New("mutual TLS without roots, want those of the network")
	case c.use != policy.ClientUse && c.use != policy.ServerUse:
		return fmt.Errorf("mutual TLS for %s, want TLS client or TLS server", c.use)
	case c.authorize == nil:
		return errors.New("mutual TLS without an authorizer, want one, such as AuthorizeRole")
	case c.status == nil:
		return errors.New("mutual TLS without a status checker, want one, such as *ocsp.Checker")
	}
	return nil
}

func (c check) verifyConnection(cs tls.ConnectionState) error {
	ctx, cancel := context.WithTimeout(context.Background(), handshakeTimeout)
	defer cancel()
	staple := cs.OCSPResponse
	if cs.DidResume {
		staple = nil // it is as old as the first handshake
	}
	known, _, err := c.peer(ctx, cs.PeerCertificates, staple)
	if err == nil && !cs.DidResume { // what was demanded at the first handshake was there
		err = c.demandedStaple(known.peer, staple)
	}
	return err
}

// demandedStaple refuses a peer whose certificate must be stapled (RFC 7633) and is not, whatever else is known of it.
func (c check) demandedStaple(peer *policy.Peer, staple []byte) error {
	if !policy.MustStaple(peer.Leaf) {
		return nil
	}
	got := "not stapled"
	if len(staple) > 0 {
		verdict, err := ocsp.VerifyResponse(staple, peer.Leaf, peer.Issuer, ocsp.VerifyOptions{Now: c.identifier.now()})
		switch {
		case err == nil && verdict.State == ocsp.Good:
			return nil
		case err == nil:
			got = "stapled with " + verdict.State.String()
		default:
			got = "stapled with what cannot be believed: " + err.Error()
		}
	}
	return &policy.Violation{
		Rule: "must-staple", Field: "certificate of " + peer.Identity.String(), Got: got,
		Want: "an OCSP response stapled to it that says good and holds, as the certificate demands",
	}
}

// late identifies by a certificate that has expired and may still be used, as of its last second. The refusal stands for all others.
func (c check) late(presented []*x509.Certificate, refusal error) (*recognition, error) {
	leaf, now := presented[0], c.identifier.now()
	if !now.After(leaf.NotAfter) || now.After(leaf.NotAfter.Add(c.grace(leaf))) {
		return nil, refusal
	}
	peer, err := c.identifier.trust.Identify(presented, c.use, leaf.NotAfter)
	if err != nil {
		return nil, err
	}
	return recognise(presented, peer), nil
}

// peer is the check: identity, which may be remembered, then authorization, then
// the status of the leaf, then that of its issuing CA, all of which are asked each time.
func (c check) peer(ctx context.Context, presented []*x509.Certificate, staple []byte) (*recognition, ocsp.Verdict, error) {
	known, err := c.identifier.identify(presented, c.use)
	if err != nil && c.grace != nil && len(presented) > 0 {
		known, err = c.late(presented, err)
	}
	if err != nil {
		return nil, ocsp.Verdict{}, err
	}
	peer := known.peer
	if err := c.authorize(peer); policy.ViolationsOf(err) != nil {
		return nil, ocsp.Verdict{}, err
	} else if err != nil {
		return nil, ocsp.Verdict{}, &problem.Error{Status: http.StatusForbidden, Name: "identity-refused", Err: err}
	}
	verdict, err := c.status.Check(ctx, peer.Leaf, peer.Issuer, staple)
	if err != nil {
		return nil, verdict, fmt.Errorf("status of %s: %w", peer.Identity, err)
	}
	root := peer.Chain[len(peer.Chain)-1]
	if verdict, err := c.status.Check(ctx, peer.Issuer, root, nil); err != nil {
		return nil, verdict, fmt.Errorf("status of the CA that issued %s: %w", peer.Identity, err)
	}
	return known, verdict, nil
}
