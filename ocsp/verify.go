package ocsp

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"errors"
	"fmt"
	"time"
)

// defaultSkew is how far the clocks of responder and client may differ.
const defaultSkew = 5 * time.Minute

// A Verdict is what was found out about a certificate.
type Verdict struct {
	State      State
	Source     string    // "feed", "staple", "ocsp", "crl", "short-lived" or "none"
	ProducedAt time.Time // when the answer was signed; zero for a CRL
	CheckedAt  time.Time // when it was verified here
	ThisUpdate time.Time
	NextUpdate time.Time
	RevokedAt  time.Time // when revoked
	Reason     int       // reason code of RFC 5280, when revoked
	Invalidity time.Time // since when the key is suspected, when revoked and an OCSP response says so
}

// VerifyOptions says what a response must fit.
type VerifyOptions struct {
	Now          time.Time     // zero for the current time
	Skew         time.Duration // tolerated difference of the clocks, 0 for 5 min
	Hash         crypto.Hash   // hash of the CertID that was asked with; 0 for any
	Nonce        []byte        // the nonce that was sent, nil for none
	RequireNonce bool          // refuse an answer without the nonce, which old responders leave out
}

// VerifyResponse verifies a response about leaf, which issuer issued (RFC 6960 section
// 3.2, RFC 5019 section 4): that it is about this certificate, that the
// issuer's key or a delegate of it signed it, and that it holds now. An error
// means that nothing was learned. Without one look at the Verdict: its State can be
// Good, Revoked or Unknown. The caller has verified leaf and issuer.
func VerifyResponse(der []byte, leaf, issuer *x509.Certificate, opts VerifyOptions) (Verdict, error) {
	if opts.Now.IsZero() {
		opts.Now = time.Now()
	}
	if opts.Skew == 0 {
		opts.Skew = defaultSkew
	}
	if err := checkPair(leaf, issuer); err != nil {
		return Verdict{}, fmt.Errorf("OCSP response: %w", err)
	}
	resp, err := ParseResponse(der)
	if err != nil {
		return Verdict{}, err
	}
	if err := resp.checkSigner(leaf, issuer, opts); err != nil {
		return Verdict{}, fmt.Errorf("OCSP response: %w", err)
	}
	if err := resp.checkNonce(opts); err != nil {
		return Verdict{}, fmt.Errorf("OCSP response: %w", err)
	}
	single, err := resp.about(leaf, issuer, opts.Hash)
	if err != nil {
		return Verdict{}, fmt.Errorf("OCSP response: %w", err)
	}
	if err := checkTimes(single, resp.ProducedAt, opts); err != nil {
		return Verdict{}, fmt.Errorf("OCSP response: %w", err)
	}
	return Verdict{
		State: single.State, Source: "ocsp",
		ProducedAt: resp.ProducedAt, CheckedAt: opts.Now,
		ThisUpdate: single.ThisUpdate, NextUpdate: single.NextUpdate,
		RevokedAt: single.RevokedAt, Reason: single.Reason, Invalidity: single.Invalidity,
	}, nil
}

// about finds the status of leaf. If there are several, revoked wins.
func (r *Response) about(leaf, issuer *x509.Certificate, hash crypto.Hash) (SingleResponse, error) {
	var found *SingleResponse
	var want CertID
	for i := range r.Singles {
		s := &r.Singles[i]
		if s.CertID.Hash == 0 || hash != 0 && s.CertID.Hash != hash {
			continue
		}
		if want.Hash != s.CertID.Hash {
			var err error
			if want, err = newCertID(leaf, issuer, s.CertID.Hash); err != nil {
				return SingleResponse{}, err
			}
		}
		if s.CertID.matches(want) && (found == nil || s.State == Revoked) {
			found = s
		}
	}
	if found == nil {
		return SingleResponse{}, fmt.Errorf("about another certificate, want serial %x of %q", leaf.SerialNumber, issuer.Subject)
	}
	return *found, nil
}

func (id CertID) matches(other CertID) bool {
	return id.Hash == other.Hash && bytes.Equal(id.Serial, other.Serial) &&
		bytes.Equal(id.IssuerNameHash, other.IssuerNameHash) &&
		bytes.Equal(id.IssuerKeyHash, other.IssuerKeyHash)
}

// checkSigner finds who signed and says whether they may.
func (r *Response) checkSigner(leaf, issuer *x509.Certificate, opts VerifyOptions) error {
	if r.names(issuer) {
		return checkSignature(r.SignatureAlgorithm, r.TBS, r.Signature, issuer)
	}
	for _, cert := range r.Certificates {
		if !r.names(cert) {
			continue
		}
		if cert.Equal(leaf) {
			return errors.New("signed by the certificate it is about, want another signer")
		}
		if err := checkDelegate(cert, issuer); err != nil {
			return err
		}
		if opts.Now.Before(cert.NotBefore.Add(-opts.Skew)) || opts.Now.After(cert.NotAfter) {
			return fmt.Errorf("OCSP delegate is valid from %v to %v, want one valid at %v", cert.NotBefore, cert.NotAfter, opts.Now)
		}
		return checkSignature(r.SignatureAlgorithm, r.TBS, r.Signature, cert)
	}
	return errors.New("signer is unknown, want the issuer or a delegate whose certificate is included")
}

// names says whether the responder id is that of cert.
func (r *Response) names(cert *x509.Certificate) bool {
	if r.ResponderName != nil {
		return bytes.Equal(r.ResponderName, cert.RawSubject)
	}
	bits, err := keyBits(cert)
	return err == nil && bytes.Equal(r.ResponderKeyHash, digest(crypto.SHA1, bits))
}

func (r *Response) checkNonce(opts VerifyOptions) error {
	switch {
	case opts.Nonce == nil:
		return nil
	case r.Nonce == nil && opts.RequireNonce:
		return errors.New("no nonce, want the one that was sent")
	case r.Nonce != nil && !bytes.Equal(unwrapNonce(r.Nonce), opts.Nonce):
		return errors.New("another nonce, want the one that was sent")
	}
	return nil
}

func checkTimes(s SingleResponse, producedAt time.Time, opts VerifyOptions) error {
	latest, earliest := opts.Now.Add(opts.Skew), opts.Now.Add(-opts.Skew)
	switch {
	case s.NextUpdate.IsZero():
		return errors.New("no nextUpdate, want one")
	case s.NextUpdate.Before(s.ThisUpdate):
		return fmt.Errorf("nextUpdate %v: want a time after thisUpdate %v", s.NextUpdate, s.ThisUpdate)
	case s.ThisUpdate.After(latest):
		return fmt.Errorf("thisUpdate %v: want a time before %v", s.ThisUpdate, latest)
	case s.NextUpdate.Before(earliest):
		return fmt.Errorf("nextUpdate %v: want a time after %v", s.NextUpdate, earliest)
	case producedAt.After(latest) || producedAt.Before(s.ThisUpdate.Add(-opts.Skew)):
		return fmt.Errorf("producedAt %v: want a time between thisUpdate %v and %v", producedAt, s.ThisUpdate, latest)
	}
	return nil
}
