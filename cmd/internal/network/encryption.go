package network

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/payca/payca/ca"
	"github.com/payca/payca/ca/audit"
	"github.com/payca/payca/enroll/server"
	"github.com/payca/payca/policy"
)

// IssueEncryption implements server.Gate: what the authority does not ask of an ordinary
// request is asked here, and a refusal stands in the log all the same.
func (g gate) IssueEncryption(ctx context.Context, caller policy.Identity, req server.Request) (*server.Issued, error) {
	v, err := g.checkEncryption(ctx, caller, req)
	if err != nil {
		return nil, err
	}
	if v == nil {
		return g.issued(g.authority.Issue(ctx, request(req)))
	}
	event := audit.Event{
		Time: g.now().UTC().Truncate(time.Second), Kind: audit.CertificateRefused, Actor: req.Requester, From: req.From,
		Party: caller.Party, Role: string(caller.Role), Issuer: caller.Role.CA(), Profile: fmt.Sprintf("%.64s", req.Profile),
		Reason: v.Error(), Attrs: map[string]string{"protocol": req.Protocol},
	}
	refusal := policy.Violations{v}
	if err := g.store.Append(context.WithoutCancel(ctx), event); err != nil {
		return nil, errors.Join(refusal, fmt.Errorf("recording the refusal: %w", err))
	}
	return nil, refusal
}

// checkEncryption says why the caller may not have a certificate for encryption under the
// profile, or on the key, that it names; nil if the authority may decide.
func (g gate) checkEncryption(ctx context.Context, caller policy.Identity, req server.Request) (*policy.Violation, error) {
	profile := g.encryption(req.Profile)
	if profile == nil {
		return &policy.Violation{
			Rule: "profile-encryption", Field: "profile", Got: fmt.Sprintf("%.64q", req.Profile),
			Want: g.encryptionProfiles(caller.Role) + "; signing certificates come by token or renewal",
		}, nil
	}
	if profile.Role() != caller.Role {
		return &policy.Violation{
			Rule: "profile-role", Field: "profile", Got: fmt.Sprintf("%q, for the role %s", profile.Name(), profile.Role()),
			Want: g.encryptionProfiles(caller.Role),
		}, nil
	}
	csr, err := policy.ParseCSR(req.CSR)
	if err != nil {
		return nil, nil //nolint:nilerr // the authority says it, and records it
	}
	key := sha256.Sum256(csr.RawSPKI)
	for record, err := range g.store.Certificates(ctx, ca.Filter{SPKI: &key}) {
		if err != nil {
			return nil, fmt.Errorf("looking up the key: %w", err)
		}
		if g.encryption(record.Profile) == nil {
			return &policy.Violation{
				Rule: "key-use", Field: "csr.publicKey", Got: "the key of a certificate of profile " + record.Profile,
				Want: "a key for encryption alone",
			}, nil
		}
	}
	return nil, nil
}

// encryption returns the profile of that name if it is one for encryption, else nil.
func (c *core) encryption(name string) *policy.Profile {
	for _, p := range c.profiles {
		if p.Name() == name && p.Encryption() {
			return p
		}
	}
	return nil
}

// encryptionProfiles names the profiles under which a role can have certificates for encryption.
func (c *core) encryptionProfiles(role policy.Role) string {
	var names []string
	for _, p := range c.profiles {
		if p.Role() == role && p.Encryption() {
			names = append(names, p.Name())
		}
	}
	if names == nil {
		return "nothing here: the role " + string(role) + " has no profile for encryption"
	}
	return strings.Join(names, " or ") + ", for encryption"
}

// finder looks up the certificates of the network: its root, its issuing CAs, and all that they issued.
func (c *core) finder() server.Finder {
	own := map[[32]byte][]*x509.Certificate{sha256.Sum256(c.root.Raw): {c.root}}
	issuers := map[string]*x509.Certificate{}
	for _, name := range c.authority.Issuers() {
		if is, err := c.authority.Issuer(name); err == nil {
			issuers[name] = is
			own[sha256.Sum256(is.Raw)] = []*x509.Certificate{is, c.root}
		}
	}
	return func(ctx context.Context, thumbprint [32]byte) ([]*x509.Certificate, error) {
		if chain, ok := own[thumbprint]; ok {
			return chain, nil
		}
		record, err := c.store.ByThumbprint(ctx, thumbprint)
		if errors.Is(err, ca.ErrNotFound) {
			return nil, nil
		}
		if err != nil {
			return nil, fmt.Errorf("looking up a certificate: %w", err)
		}
		leaf, err := x509.ParseCertificate(record.DER)
		if err != nil {
			return nil, fmt.Errorf("reading certificate %s: %w", record.Serial, err)
		}
		is, ok := issuers[record.Issuer]
		if !ok {
			return nil, fmt.Errorf("certificate %s has issuer %q, which is not loaded", record.Serial, record.Issuer)
		}
		return []*x509.Certificate{leaf, is}, nil
	}
}

// newest finds the encryption certificate of a party that was issued last, if it is valid and not revoked.
func (c *core) newest(ctx context.Context, party string) ([]*x509.Certificate, error) {
	var found ca.Record
	for record, err := range c.store.Certificates(ctx, ca.Filter{Party: party}) {
		if err != nil {
			return nil, fmt.Errorf("looking up the certificates of %s: %w", party, err)
		}
		if c.encryption(record.Profile) != nil && record.Revocation == nil && record.NotAfter.After(time.Now()) {
			found = record
		}
	}
	if found.DER == nil {
		return nil, nil
	}
	return c.finder()(ctx, sha256.Sum256(found.DER))
}

// plain answers on the http listener. It is no ServeMux, which would clean the paths of OCSP requests.
func (n *Network) plain() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, server.DirectoryPath) {
			n.directory.ServeHTTP(w, r)
			return
		}
		n.status.ServeHTTP(w, r)
	})
}
