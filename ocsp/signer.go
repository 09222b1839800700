package ocsp

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"crypto/x509/pkix"
	asn1oid "encoding/asn1"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

// SignerConfig is what a [Signer] is made from. All of it is needed.
type SignerConfig struct {
	Issuer      *x509.Certificate // the CA whose certificates the signer answers for
	Certificate *x509.Certificate // the delegate, issued directly by Issuer
	Key         crypto.Signer     // the delegate's key
}

// A Signer signs answers for one issuer with a delegate's key (RFC 6960 section
// 4.2.2.2). It is immutable and safe for concurrent use if its key is.
type Signer struct {
	issuer    *x509.Certificate
	cert      *x509.Certificate
	key       crypto.Signer
	algorithm SignatureAlgorithm
	keyHash   []byte // responder id: SHA-1 of the delegate's key bits
}

// NewSigner checks that the key is the delegate's and that every client will accept
// the delegate: issued directly by the issuer, no CA, extended key usage OCSP
// signing, key usage digital signature, id-pkix-ocsp-nocheck.
func NewSigner(cfg SignerConfig) (*Signer, error) {
	if cfg.Issuer == nil || cfg.Certificate == nil || cfg.Key == nil {
		return nil, errors.New("new OCSP signer: want Issuer, Certificate and Key")
	}
	public, ok := cfg.Key.Public().(interface{ Equal(crypto.PublicKey) bool })
	if !ok || !public.Equal(cfg.Certificate.PublicKey) {
		return nil, fmt.Errorf("new OCSP signer: key %T: want the key of the delegate's certificate", cfg.Key.Public())
	}
	if err := checkDelegate(cfg.Certificate, cfg.Issuer); err != nil {
		return nil, fmt.Errorf("new OCSP signer: %w", err)
	}
	algorithm, err := SignatureAlgorithmFor(cfg.Key.Public())
	if err != nil {
		return nil, fmt.Errorf("new OCSP signer: %w", err)
	}
	bits, err := keyBits(cfg.Certificate)
	if err != nil {
		return nil, fmt.Errorf("new OCSP signer: %w", err)
	}
	return &Signer{
		issuer:    cfg.Issuer,
		cert:      cfg.Certificate,
		key:       cfg.Key,
		algorithm: algorithm,
		keyHash:   digest(crypto.SHA1, bits),
	}, nil
}

// Certificate returns the delegate's certificate.
func (s *Signer) Certificate() *x509.Certificate { return s.cert }

// checkDelegate says whether issuer made cert a signer of OCSP answers. Time
// is left to the caller.
func checkDelegate(cert, issuer *x509.Certificate) error {
	refuse := func(want string) error {
		return fmt.Errorf("OCSP delegate %q: want %s", cert.Subject, want)
	}
	if !bytes.Equal(cert.RawIssuer, issuer.RawSubject) {
		return refuse(fmt.Sprintf("one issued by %q", issuer.Subject))
	}
	if err := cert.CheckSignatureFrom(issuer); err != nil {
		return fmt.Errorf("OCSP delegate %q: not signed by %q: %w", cert.Subject, issuer.Subject, err)
	}
	switch {
	case cert.IsCA:
		return refuse("no CA certificate")
	case !slices.Contains(cert.ExtKeyUsage, x509.ExtKeyUsageOCSPSigning):
		return refuse("extended key usage OCSP signing")
	case cert.KeyUsage&x509.KeyUsageDigitalSignature == 0:
		return refuse("key usage digital signature")
	case len(cert.UnhandledCriticalExtensions) > 0:
		return refuse("no unknown critical extension")
	}
	noCheck := asn1oid.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 48, 1, 5}
	if !slices.ContainsFunc(cert.Extensions, func(e pkix.Extension) bool { return e.Id.Equal(noCheck) }) {
		return refuse("extension id-pkix-ocsp-nocheck")
	}
	return nil
}

// Sign builds and signs a response: one SingleResponse for each of singles, in order
// and with its CertID as it is, by key, delegate embedded. nonce is the content of
// an extnValue, nil for none. Times are written in whole seconds. Signing can
// block for as long as the key does.
func (s *Signer) Sign(producedAt time.Time, nonce []byte, singles ...SingleResponse) ([]byte, error) {
	var tbs cryptobyte.Builder
	tbs.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1(explicit(2), func(b *cryptobyte.Builder) { b.AddASN1OctetString(s.keyHash) })
		b.AddASN1GeneralizedTime(producedAt.UTC())
		b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
			for _, single := range singles {
				single.add(b)
			}
		})
		if nonce != nil {
			addNonce(b, explicit(1), nonce)
		}
	})
	data, err := tbs.Bytes()
	if err != nil {
		return nil, fmt.Errorf("building OCSP response: %w", err)
	}
	signature, err := s.algorithm.Sign(s.key, data)
	if err != nil {
		return nil, fmt.Errorf("signing OCSP response: %w", err)
	}
	return s.assemble(data, signature)
}

// assemble wraps signed ResponseData into an OCSPResponse.
func (s *Signer) assemble(data, signature []byte) ([]byte, error) {
	var b cryptobyte.Builder
	b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1Enum(int64(Successful))
		b.AddASN1(explicit(0), func(b *cryptobyte.Builder) {
			b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
				addOID(b, oidBasic)
				b.AddASN1(asn1.OCTET_STRING, func(b *cryptobyte.Builder) {
					b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
						b.AddBytes(data)
						b.AddBytes(s.algorithm.DER)
						b.AddASN1BitString(signature)
						b.AddASN1(explicit(0), func(b *cryptobyte.Builder) {
							b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) { b.AddBytes(s.cert.Raw) })
						})
					})
				})
			})
		})
	})
	return b.Bytes()
}

// add appends s. It sets an error on b for what no answer may say.
func (s SingleResponse) add(b *cryptobyte.Builder) {
	if !s.NextUpdate.After(s.ThisUpdate) {
		b.SetError(fmt.Errorf("nextUpdate %v: want a time after thisUpdate %v", s.NextUpdate, s.ThisUpdate))
		return
	}
	b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddBytes(s.CertID.Raw)
		switch s.State {
		case Good:
			b.AddASN1(asn1.Tag(0).ContextSpecific(), func(*cryptobyte.Builder) {})
		case Unknown:
			b.AddASN1(asn1.Tag(2).ContextSpecific(), func(*cryptobyte.Builder) {})
		case Revoked:
			if err := checkReason(s.Reason); err != nil {
				b.SetError(err)
				return
			}
			if s.RevokedAt.IsZero() {
				b.SetError(errors.New("revoked without a time: want one"))
				return
			}
			b.AddASN1(explicit(1), func(b *cryptobyte.Builder) {
				b.AddASN1GeneralizedTime(s.RevokedAt.UTC())
				if s.Reason != 0 {
					b.AddASN1(explicit(0), func(b *cryptobyte.Builder) { b.AddASN1Enum(int64(s.Reason)) })
				}
			})
		default:
			b.SetError(fmt.Errorf("%v: want good, revoked or unknown", s.State))
		}
		b.AddASN1GeneralizedTime(s.ThisUpdate.UTC())
		b.AddASN1(explicit(0), func(b *cryptobyte.Builder) { b.AddASN1GeneralizedTime(s.NextUpdate.UTC()) })
	})
}
