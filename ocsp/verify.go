package ocsp

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/crypto/cryptobyte"
)

// DefaultSkew is how far clocks may be apart.
const DefaultSkew = 5 * time.Minute

// VerifyOptions says under which conditions an answer counts.
type VerifyOptions struct {
	Now   time.Time     // when
	Skew  time.Duration // how far clocks may be apart, 0 for five minutes
	Nonce []byte        // what was sent; an answer with another one is refused, one without is not
}

// VerifyResponse says what an OCSP response says of leaf, which issuer issued.
// The response must be successful, name leaf by both hashes of issuer and by serial, be signed
// by issuer or by a delegate that issuer itself issued for OCSP signing and
// that is valid now, and be neither from the future nor over (RFC 6960 section
// 3.2). A revoked or unknown certificate is a verdict, not an error.
func VerifyResponse(der []byte, leaf, issuer *x509.Certificate, opts VerifyOptions) (Verdict, error) {
	if opts.Skew == 0 {
		opts.Skew = DefaultSkew
	}
	r, err := ParseResponse(der)
	if err != nil {
		return Verdict{}, err
	}
	if r.Status != Successful {
		return Verdict{}, fmt.Errorf("ocsp responder says %s", r.Status)
	}
	if err := r.checkSigner(issuer, opts.Now, opts.Skew); err != nil {
		return Verdict{}, err
	}
	if opts.Nonce != nil && r.Nonce != nil && !sameNonce(opts.Nonce, r.Nonce) {
		return Verdict{}, errors.New("ocsp response answers another nonce")
	}
	for _, single := range r.Singles {
		same, err := single.ID.names(leaf, issuer)
		if err != nil {
			return Verdict{}, err
		}
		if !same {
			continue
		}
		if err := checkTimes("ocsp response", single.ThisUpdate, single.NextUpdate, opts.Now, opts.Skew); err != nil {
			return Verdict{}, err
		}
		if r.ProducedAt.After(opts.Now.Add(opts.Skew)) {
			return Verdict{}, fmt.Errorf("ocsp response is from the future: producedAt %s", r.ProducedAt.Format(time.RFC3339))
		}
		return Verdict{
			State: single.Status.State, Source: "ocsp", ProducedAt: r.ProducedAt, ThisUpdate: single.ThisUpdate,
			NextUpdate: single.NextUpdate, CheckedAt: opts.Now, RevokedAt: single.Status.RevokedAt, Reason: single.Status.Reason,
		}, nil
	}
	return Verdict{}, fmt.Errorf("ocsp response is not about certificate %x of %s", leaf.SerialNumber, issuer.Subject)
}

// names says whether the CertID is leaf's.
func (id CertID) names(leaf, issuer *x509.Certificate) (bool, error) {
	if id.Hash == 0 {
		return false, nil
	}
	bits, err := publicKeyBits(issuer.RawSubjectPublicKeyInfo)
	if err != nil {
		return false, err
	}
	return bytes.Equal(id.Serial, leaf.SerialNumber.Bytes()) &&
		bytes.Equal(id.IssuerNameHash, hashOf(id.Hash, issuer.RawSubject)) &&
		bytes.Equal(id.IssuerKeyHash, hashOf(id.Hash, bits)), nil
}

func sameNonce(sent, got []byte) bool {
	s := cryptobyte.String(got)
	var inner cryptobyte.String
	return bytes.Equal(sent, got) || s.ReadASN1(&inner, 0x04) && s.Empty() && bytes.Equal(sent, inner)
}

// checkSigner finds who signed and checks that they may.
func (r *Response) checkSigner(issuer *x509.Certificate, now time.Time, skew time.Duration) error {
	if r.isResponder(issuer) {
		if err := issuer.CheckSignature(r.algorithm, r.tbs, r.signature); err != nil {
			return fmt.Errorf("ocsp response by %s: %w", issuer.Subject, err)
		}
		return nil
	}
	for _, delegate := range r.Certificates {
		if !r.isResponder(delegate) {
			continue
		}
		if err := checkDelegate(delegate, issuer); err != nil {
			return fmt.Errorf("ocsp response: %w", err)
		}
		if now.Before(delegate.NotBefore.Add(-skew)) || now.After(delegate.NotAfter.Add(skew)) {
			return fmt.Errorf("ocsp response: delegate is valid from %s to %s only", delegate.NotBefore.Format(time.RFC3339), delegate.NotAfter.Format(time.RFC3339))
		}
		if !slices.ContainsFunc(delegate.Extensions, isNoCheck) {
			return errors.New("ocsp response: delegate has no id-pkix-ocsp-nocheck, and its own status is not looked up")
		}
		if err := delegate.CheckSignature(r.algorithm, r.tbs, r.signature); err != nil {
			return fmt.Errorf("ocsp response by %s: %w", delegate.Subject, err)
		}
		return nil
	}
	return errors.New("ocsp response does not carry the certificate of its signer")
}

// isResponder says whether the responder id names the certificate.
func (r *Response) isResponder(c *x509.Certificate) bool {
	if r.ResponderKey == nil {
		return bytes.Equal(r.ResponderDN, c.RawSubject)
	}
	bits, err := publicKeyBits(c.RawSubjectPublicKeyInfo)
	return err == nil && bytes.Equal(r.ResponderKey, hashOf(crypto.SHA1, bits))
}
