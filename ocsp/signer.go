package ocsp

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/crypto/cryptobyte"
	casn1 "golang.org/x/crypto/cryptobyte/asn1"
)

var oidNoCheck = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 48, 1, 5}

// SignerConfig says who signs answers, for which issuer.
type SignerConfig struct {
	Issuer      *x509.Certificate // the CA whose certificates are asked about
	Certificate *x509.Certificate // the delegate that Issuer issued
	Key         crypto.Signer     // the delegate's key
}

// A Signer signs answers as the delegate of one issuer (RFC 6960 section
// 4.2.2.2), names itself by key, and embeds its certificate.
type Signer struct {
	certificate *x509.Certificate
	key         crypto.Signer
	algorithm   SignatureAlgorithm
	responderID []byte // SHA-1 of the key
}

// NewSigner checks that the certificate is a delegate that clients will
// accept: issued by the issuer itself, for OCSP signing, with
// id-pkix-ocsp-nocheck, and matching the key.
func NewSigner(cfg SignerConfig) (*Signer, error) {
	if cfg.Issuer == nil || cfg.Certificate == nil || cfg.Key == nil {
		return nil, errors.New("ocsp signer: want Issuer, Certificate and Key")
	}
	if err := checkDelegate(cfg.Certificate, cfg.Issuer); err != nil {
		return nil, fmt.Errorf("ocsp signer: %w", err)
	}
	if !slices.ContainsFunc(cfg.Certificate.Extensions, isNoCheck) {
		return nil, errors.New("ocsp signer: certificate has no id-pkix-ocsp-nocheck, so clients would look for its own status")
	}
	type comparable interface{ Equal(crypto.PublicKey) bool }
	if public, ok := cfg.Key.Public().(comparable); !ok || !public.Equal(cfg.Certificate.PublicKey) {
		return nil, errors.New("ocsp signer: the key is not the certificate's")
	}
	algorithm, err := SignatureAlgorithmFor(cfg.Key.Public())
	if err != nil {
		return nil, fmt.Errorf("ocsp signer: %w", err)
	}
	bits, err := publicKeyBits(cfg.Certificate.RawSubjectPublicKeyInfo)
	if err != nil {
		return nil, err
	}
	return &Signer{certificate: cfg.Certificate, key: cfg.Key, algorithm: algorithm, responderID: hashOf(crypto.SHA1, bits)}, nil
}

// Certificate returns the delegate's certificate.
func (s *Signer) Certificate() *x509.Certificate { return s.certificate }

// checkDelegate checks what makes a certificate a delegate of issuer, apart from its dates.
func checkDelegate(delegate, issuer *x509.Certificate) error {
	switch {
	case !bytes.Equal(delegate.RawIssuer, issuer.RawSubject):
		return fmt.Errorf("delegate was issued by %s, want %s itself", delegate.Issuer, issuer.Subject)
	case delegate.IsCA:
		return errors.New("delegate is a CA certificate, want an end entity's")
	case !slices.Contains(delegate.ExtKeyUsage, x509.ExtKeyUsageOCSPSigning):
		return errors.New("delegate has no extended key usage OCSPSigning")
	case delegate.KeyUsage&x509.KeyUsageDigitalSignature == 0:
		return errors.New("delegate has no key usage digitalSignature")
	}
	if err := issuer.CheckSignature(delegate.SignatureAlgorithm, delegate.RawTBSCertificate, delegate.Signature); err != nil {
		return fmt.Errorf("delegate was not signed by %s: %w", issuer.Subject, err)
	}
	return nil
}

// sign makes a successful response.
func (s *Signer) sign(singles []Single, nonce []byte, producedAt time.Time) ([]byte, error) {
	var tbs cryptobyte.Builder
	tbs.AddASN1(casn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1(tagged(2), func(b *cryptobyte.Builder) { b.AddASN1OctetString(s.responderID) })
		b.AddASN1GeneralizedTime(producedAt.UTC())
		b.AddASN1(casn1.SEQUENCE, func(b *cryptobyte.Builder) {
			for _, single := range singles {
				appendSingle(b, single)
			}
		})
		if nonce != nil {
			b.AddASN1(tagged(1), func(b *cryptobyte.Builder) {
				b.AddASN1(casn1.SEQUENCE, func(b *cryptobyte.Builder) { addExtension(b, oidNonce, false, nonce) })
			})
		}
	})
	data, err := tbs.Bytes()
	if err != nil {
		return nil, fmt.Errorf("encoding an ocsp response: %w", err)
	}
	signature, err := s.algorithm.sign(s.key, data)
	if err != nil {
		return nil, fmt.Errorf("signing an ocsp response: %w", err)
	}
	var b cryptobyte.Builder
	b.AddASN1(casn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1Enum(int64(Successful))
		b.AddASN1(tagged(0), func(b *cryptobyte.Builder) {
			b.AddASN1(casn1.SEQUENCE, func(b *cryptobyte.Builder) {
				b.AddASN1ObjectIdentifier(oidBasic)
				b.AddASN1(casn1.OCTET_STRING, func(b *cryptobyte.Builder) {
					b.AddASN1(casn1.SEQUENCE, func(b *cryptobyte.Builder) {
						b.AddBytes(data)
						b.AddBytes(s.algorithm.Identifier)
						b.AddASN1BitString(signature)
						b.AddASN1(tagged(0), func(b *cryptobyte.Builder) {
							b.AddASN1(casn1.SEQUENCE, func(b *cryptobyte.Builder) { b.AddBytes(s.certificate.Raw) })
						})
					})
				})
			})
		})
	})
	return b.Bytes()
}

func isNoCheck(e pkix.Extension) bool { return e.Id.Equal(oidNoCheck) }
