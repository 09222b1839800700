package mtls

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/payca/payca/enroll"
	"github.com/payca/payca/ocsp"
	"github.com/payca/payca/policy"
)

// An Authorizer says whether a verified peer may go on; an error refuses it.
type Authorizer func(peer *policy.Peer) error

// AuthorizeRole admits peers of these roles. Without roles it admits nobody.
func AuthorizeRole(roles ...policy.Role) Authorizer {
	return func(peer *policy.Peer) error {
		if slices.Contains(roles, peer.Identity.Role) {
			return nil
		}
		names := make([]string, len(roles))
		for i, role := range roles {
			names[i] = string(role)
		}
		return &policy.Violation{Rule: "wrong-role", Field: "role of " + peer.Identity.Party, Got: string(peer.Identity.Role), Want: oneOf(names)}
	}
}

// AuthorizeParty admits these parties, by id. Without ids it admits nobody.
func AuthorizeParty(ids ...string) Authorizer {
	return func(peer *policy.Peer) error {
		if slices.Contains(ids, peer.Identity.Party) {
			return nil
		}
		return &policy.Violation{Rule: "wrong-party", Field: "party", Got: peer.Identity.Party, Want: oneOf(ids)}
	}
}

func oneOf(names []string) string {
	if len(names) == 0 {
		return "nobody"
	}
	return strings.Join(names, " or ")
}

// A StatusChecker says whether a certificate is good; see ocsp.Checker.Check.
type StatusChecker interface {
	Check(ctx context.Context, leaf, issuer *x509.Certificate, staple []byte) (ocsp.Verdict, error)
}

// StatusFunc is a function that is a [StatusChecker].
type StatusFunc func(ctx context.Context, leaf, issuer *x509.Certificate, staple []byte) (ocsp.Verdict, error)

// Check implements [StatusChecker].
func (f StatusFunc) Check(ctx context.Context, leaf, issuer *x509.Certificate, staple []byte) (ocsp.Verdict, error) {
	return f(ctx, leaf, issuer, staple)
}

// Server returns the configuration of a server that admits the clients that authorize admits.
func Server(src *enroll.Source, authorize Authorizer, status StatusChecker) (*tls.Config, error) {
	v, err := newVerifier(src, authorize, status, policy.ClientUse)
	if err != nil {
		return nil, err
	}
	return &tls.Config{
		MinVersion:       tls.VersionTLS13,
		ClientAuth:       tls.RequireAndVerifyClientCert,
		ClientCAs:        pool(src),
		GetCertificate:   func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return src.Certificate() },
		VerifyConnection: v.connection,
	}, nil
}

// Client returns the configuration of a client that talks to servers that
// authorize admits. The server's certificate must carry the name that is called, too.
func Client(src *enroll.Source, authorize Authorizer, status StatusChecker) (*tls.Config, error) {
	v, err := newVerifier(src, authorize, status, policy.ServerUse)
	if err != nil {
		return nil, err
	}
	return &tls.Config{
		MinVersion:           tls.VersionTLS13,
		RootCAs:              pool(src),
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return src.Certificate() },
		VerifyConnection:     v.connection,
	}, nil
}

func pool(src *enroll.Source) *x509.CertPool {
	p := x509.NewCertPool()
	for _, root := range src.Trust().Roots {
		p.AddCert(root)
	}
	return p
}

// A verifier is every check of a peer.
type verifier struct {
	trust     policy.Trust
	use       policy.Use
	authorize Authorizer
	status    StatusChecker
	now       func() time.Time
}

func newVerifier(src *enroll.Source, authorize Authorizer, status StatusChecker, use policy.Use) (*verifier, error) {
	if src == nil || authorize == nil || status == nil {
		return nil, errors.New("mtls: want a source, an authorizer and a status check")
	}
	return &verifier{trust: src.Trust(), use: use, authorize: authorize, status: status, now: time.Now}, nil
}

// connection implements tls.Config.VerifyConnection.
func (v *verifier) connection(cs tls.ConnectionState) error {
	_, _, err := v.verify(context.Background(), cs)
	return err
}

// verify identifies the peer of a connection, authorizes it and asks for its status.
func (v *verifier) verify(ctx context.Context, cs tls.ConnectionState) (*policy.Peer, ocsp.Verdict, error) {
	peer, err := v.trust.Identify(cs.PeerCertificates, v.use, v.now())
	if err != nil {
		return nil, ocsp.Verdict{}, err
	}
	verdict, err := v.admit(ctx, peer, cs.OCSPResponse)
	return peer, verdict, err
}

// admit authorizes a peer that was identified, and asks for its status and its issuer's.
func (v *verifier) admit(ctx context.Context, peer *policy.Peer, staple []byte) (ocsp.Verdict, error) {
	if err := v.authorize(peer); err != nil {
		return ocsp.Verdict{}, err
	}
	verdict, err := v.status.Check(ctx, peer.Leaf, peer.Issuer, staple)
	if err != nil {
		return verdict, fmt.Errorf("%s: %w", peer.Identity, err)
	}
	if _, err := v.status.Check(ctx, peer.Issuer, peer.Chain[len(peer.Chain)-1], nil); err != nil {
		return verdict, fmt.Errorf("issuing CA of %s: %w", peer.Identity, err)
	}
	return verdict, nil
}
