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
	"sync"
	"time"
)

// SignerConfig is what a [Signer] is made from. Issuer, Certificate and Key are needed.
type SignerConfig struct {
	Issuer      *x509.Certificate // the CA whose certificates the signer answers for
	Certificate *x509.Certificate // the delegate, issued directly by Issuer; or Issuer, which then signs itself
	Key         crypto.Signer     // that of Certificate
	ByName      bool              // name the signer by its subject, not by its key (RFC 6960 section 4.2.1)
}

// A Signer signs answers for one issuer with a delegate's key (RFC 6960 section
// 4.2.2.2). It is immutable and safe for concurrent use if its key is.
type Signer struct {
	issuer    *x509.Certificate
	cert      *x509.Certificate
	key       crypto.Signer
	algorithm SignatureAlgorithm
	id        []byte // ResponderID, DER
	tail      []byte // what follows the signature: the delegate's certificate, DER
}

// NewSigner checks that the key is the certificate's and that every client will accept
// a delegate: issued directly by the issuer, no CA, extended key usage OCSP
// signing, key usage digital signature, id-pkix-ocsp-nocheck.
func NewSigner(cfg SignerConfig) (*Signer, error) {
	if cfg.Issuer == nil || cfg.Certificate == nil || cfg.Key == nil {
		return nil, errors.New("new OCSP signer: want Issuer, Certificate and Key")
	}
	public, ok := cfg.Key.Public().(interface{ Equal(crypto.PublicKey) bool })
	if !ok || !public.Equal(cfg.Certificate.PublicKey) {
		return nil, fmt.Errorf("new OCSP signer: key %T: want the key of the delegate's certificate", cfg.Key.Public())
	}
	itself := cfg.Certificate.Equal(cfg.Issuer)
	if !itself {
		if err := checkDelegate(cfg.Certificate, cfg.Issuer); err != nil {
			return nil, fmt.Errorf("new OCSP signer: %w", err)
		}
	}
	algorithm, err := SignatureAlgorithmFor(cfg.Key.Public())
	if err != nil {
		return nil, fmt.Errorf("new OCSP signer: %w", err)
	}
	bits, err := keyBits(cfg.Certificate)
	if err != nil {
		return nil, fmt.Errorf("new OCSP signer: %w", err)
	}
	s := &Signer{issuer: cfg.Issuer, cert: cfg.Certificate, key: cfg.Key, algorithm: algorithm}
	if cfg.ByName {
		s.id = appendElement(nil, tagExplicit+1, cfg.Certificate.RawSubject)
	} else {
		s.id = wrap(appendElement(nil, tagOctetString, digest(crypto.SHA1, bits)), 0, tagExplicit+2)
	}
	if !itself {
		s.tail = wrap(appendElement(nil, tagSequence, cfg.Certificate.Raw), 0, tagExplicit)
	}
	return s, nil
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
// and with its CertID as it is, the delegate embedded. nonce is the content of
// an extnValue, nil for none. Times are written in whole seconds. Signing can
// block for as long as the key does.
func (s *Signer) Sign(producedAt time.Time, nonce []byte, singles ...SingleResponse) ([]byte, error) {
	der, _, err := s.sign(nil, producedAt, nonce, singles)
	return der, err
}

// sign is Sign that appends to dst, and returns the bare signature too.
func (s *Signer) sign(dst []byte, producedAt time.Time, nonce []byte, singles []SingleResponse) (der, signature []byte, err error) {
	room := rooms.Get().(*[usualData]byte)
	defer rooms.Put(room)
	data, err := s.appendData(room[:0], producedAt, nonce, singles)
	if err != nil {
		return nil, nil, fmt.Errorf("building OCSP response: %w", err)
	}
	signature, err = s.algorithm.Sign(s.key, data)
	if err != nil {
		return nil, nil, fmt.Errorf("signing OCSP response: %w", err)
	}
	return s.assemble(dst, data, signature), signature, nil
}

// usualData is more than ResponseData usually has; what has more gets room of its own.
const usualData = 1024

var rooms = sync.Pool{New: func() any { return new([usualData]byte) }}

// maxData bounds ResponseData: 32 statuses with all they can say are far below.
const maxData = 32 << 10

// appendData appends ResponseData.
func (s *Signer) appendData(dst []byte, producedAt time.Time, nonce []byte, singles []SingleResponse) ([]byte, error) {
	start := len(dst)
	dst = append(dst, s.id...)
	dst = appendTime(dst, producedAt)
	list, never := len(dst), false
	var err error
	for i := range singles {
		if dst, err = singles[i].append(dst); err != nil {
			return nil, err
		}
		never = never || singles[i].NeverIssued
	}
	dst = wrap(dst, list, tagSequence)
	if exts := len(dst); nonce != nil || never {
		if nonce != nil {
			dst = appendExtension(dst, oidNonce, nonce)
		}
		if never {
			dst = appendExtension(dst, oidExtendedRevoke, derNull)
		}
		dst = wrap(wrap(dst, exts, tagSequence), exts, tagExplicit+1)
	}
	if n := len(dst) - start; n > maxData {
		return nil, fmt.Errorf("statuses of %d octets: want at most %d", n, maxData)
	}
	return wrap(dst, start, tagSequence), nil
}

// assemble appends an OCSPResponse around signed ResponseData. The lengths are added up from the inside, so that all is written once.
func (s *Signer) assemble(dst, data, signature []byte) []byte {
	bits := 1 + len(signature)
	basic := len(data) + len(s.algorithm.DER) + sizeOf(bits) + len(s.tail)
	wrapped := sizeOf(len(oidBasic)) + sizeOf(sizeOf(basic))
	whole := len(derSuccessful) + sizeOf(sizeOf(wrapped))
	der := append(appendHeader(slices.Grow(dst, sizeOf(whole)), tagSequence, whole), derSuccessful...)
	der = appendHeader(appendHeader(der, tagExplicit, sizeOf(wrapped)), tagSequence, wrapped)
	der = append(appendHeader(der, tagOID, len(oidBasic)), oidBasic...)
	der = appendHeader(appendHeader(der, tagOctetString, sizeOf(basic)), tagSequence, basic)
	der = append(append(der, data...), s.algorithm.DER...)
	der = append(appendHeader(der, tagBitString, bits), 0) // no unused bits
	return append(append(der, signature...), s.tail...)
}

// derSuccessful is the responseStatus of a signed response.
const derSuccessful = "\x0a\x01\x00"

var derNull = []byte{5, 0}

// append appends s as DER. It refuses what no answer may say.
func (s *SingleResponse) append(dst []byte) ([]byte, error) {
	if !s.NextUpdate.After(s.ThisUpdate) {
		return nil, fmt.Errorf("nextUpdate %v: want a time after thisUpdate %v", s.NextUpdate, s.ThisUpdate)
	}
	start := len(dst)
	dst = append(dst, s.CertID.Raw...)
	switch s.State {
	case Good:
		dst = append(dst, tagImplicit, 0)
	case Unknown:
		dst = append(dst, tagImplicit+2, 0)
	case Revoked:
		if err := checkReason(s.Reason); err != nil {
			return nil, err
		}
		if s.RevokedAt.IsZero() {
			return nil, errors.New("revoked without a time: want one")
		}
		info := len(dst)
		dst = appendTime(dst, s.RevokedAt)
		if s.Reason != 0 {
			dst = append(dst, tagExplicit, 3, tagEnum, 1, byte(s.Reason))
		}
		dst = wrap(dst, info, tagExplicit+1)
	default:
		return nil, fmt.Errorf("%v: want good, revoked or unknown", s.State)
	}
	dst = appendTime(dst, s.ThisUpdate)
	next := len(dst)
	dst = wrap(appendTime(dst, s.NextUpdate), next, tagExplicit)
	if exts := len(dst); !s.ArchiveCutoff.IsZero() || !s.Invalidity.IsZero() {
		var value [17]byte
		if !s.ArchiveCutoff.IsZero() {
			dst = appendExtension(dst, oidArchiveCutoff, appendTime(value[:0], s.ArchiveCutoff))
		}
		if !s.Invalidity.IsZero() {
			dst = appendExtension(dst, oidInvalidityDate, appendTime(value[:0], s.Invalidity))
		}
		dst = wrap(wrap(dst, exts, tagSequence), exts, tagExplicit+1)
	}
	return wrap(dst, start, tagSequence), nil
}
