package ca

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"github.com/payca/payca/policy"
)

// Renew issues a certificate in the place of old, with the same or a new key. The old one must
// be in the inventory, to the byte, not revoked, and not expired for longer than its profile lets pass; its party and profile are
// taken from there, and policy is applied afresh. A Profile of the request that is another one is refused; Party and Token are ignored. Without a
// CSR the key stays, and whoever calls has seen that it is held.
// Errors are those of [Authority.Issue].
func (a *Authority) Renew(ctx context.Context, old *x509.Certificate, req Request) (*Certificate, error) {
	req.Party, req.Token = "", ""
	ap := application{Request: req, now: a.now()}
	if err := a.enterRenewal(ctx, &ap, old); err != nil {
		return nil, a.refused(ctx, ap, err)
	}
	return a.gate(ctx, ap)
}

// enterRenewal looks up what the old certificate stands for.
func (a *Authority) enterRenewal(ctx context.Context, ap *application, old *x509.Certificate) error {
	if old == nil {
		return violation("renew-known", "certificate", "missing", "a certificate that this CA issued")
	}
	rec, err := a.cfg.Store.ByThumbprint(ctx, sha256.Sum256(old.Raw))
	if err != nil && !errors.Is(err, ErrNotFound) {
		return fmt.Errorf("looking up the certificate to renew: %w", err)
	}
	if err != nil || !bytes.Equal(rec.DER, old.Raw) || rec.Party == "" {
		return violation("renew-known", "certificate", "not in the inventory of parties", "a certificate that this CA issued to a party")
	}
	asked := ap.Profile
	ap.Party, ap.Profile, ap.renews = rec.Party, rec.Profile, &rec.Serial
	if asked != "" && asked != rec.Profile {
		return violation("renew-profile", "profile", fmt.Sprintf("%q", clip(asked)), fmt.Sprintf("%q, that of the certificate, or none; another one takes a token", rec.Profile))
	}
	if r := rec.Revocation; r != nil {
		return violation("renew-revoked", "certificate",
			fmt.Sprintf("revoked since %s for %s", r.At.UTC().Format(time.RFC3339), r.Reason), "a certificate that is not revoked")
	}
	if grace := a.renewGrace(rec); ap.now.After(rec.NotAfter.Add(grace)) {
		want := "a certificate that is still valid"
		if grace > 0 {
			want += ", or expired " + policy.Duration(grace).String() + " ago at most"
		}
		return violation("renew-expired", "certificate", "expired at "+rec.NotAfter.UTC().Format(time.RFC3339), want)
	}
	if err := a.enter(ctx, ap); err != nil {
		return err
	}
	if len(ap.CSR) == 0 {
		ap.repeats = old
	}
	ap.inherit(rec, old)
	return nil
}

// renewGrace is for how long after its end the record's certificate can be renewed.
func (a *Authority) renewGrace(rec Record) time.Duration {
	profile, ok := a.profiles[rec.Profile]
	if !ok {
		return 0
	}
	return time.Duration(profile.Config().RenewGrace)
}

// RenewGrace is for how long after its end a certificate can be renewed, 0 for one that is not in the inventory. It says nothing of
// whether the CA would: that is for [Authority.Renew].
func (a *Authority) RenewGrace(ctx context.Context, cert *x509.Certificate) time.Duration {
	rec, err := a.cfg.Store.ByThumbprint(ctx, sha256.Sum256(cert.Raw))
	if err != nil {
		return 0
	}
	return a.renewGrace(rec)
}

// IssueResponder issues a certificate for the key of an OCSP delegate of the named issuer, under the
// profile "ocsp-signer" and through the same gate; the CA makes the request itself.
func (a *Authority) IssueResponder(ctx context.Context, issuer string, key crypto.Signer) (*x509.Certificate, error) {
	profile, err := a.responderProfile(issuer)
	if err != nil {
		return nil, err
	}
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	if err != nil {
		return nil, fmt.Errorf("making the request of the %s OCSP signer: %w", issuer, err)
	}
	cert, err := a.gate(ctx, application{
		Request: Request{Profile: policy.OCSPSignerProfile, CSR: csr, Requester: self, Protocol: "local"},
		now:     a.now(), profile: profile, issuer: issuer,
	})
	if err != nil {
		return nil, err
	}
	return cert.Leaf, nil
}
