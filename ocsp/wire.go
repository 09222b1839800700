package ocsp

import (
	"bytes"
	"crypto"
	_ "crypto/sha1" // CertIDs
	"crypto/sha256"
	_ "crypto/sha512" // CertIDs
	"crypto/x509"
	"errors"
	"fmt"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

// Limits of a request.
const (
	maxRequest = 8 << 10 // bytes
	maxCertIDs = 32
	maxNonce   = 128 // octets, RFC 9654 section 2.1
)

// ErrMalformed says that a request is not what RFC 6960 section 4.1 allows, or
// over a limit of this package.
var ErrMalformed = errors.New("malformed OCSP request")

// A CertID names a certificate by its issuer and serial (RFC 6960 section 4.1.1).
type CertID struct {
	Raw            []byte      // the whole CertID, DER
	Hash           crypto.Hash // 0 if it is none of SHA-1, SHA-256, SHA-384, SHA-512
	IssuerNameHash []byte      // hash of the issuer's name, DER
	IssuerKeyHash  []byte      // hash of the bits of the issuer's key
	Serial         []byte      // magnitude, big endian, without leading zeros; empty for zero

	bare bool // the hash algorithm has no parameters, not even NULL
}

// A Request is a parsed OCSP request. Its byte slices point into the parsed bytes.
type Request struct {
	CertIDs []CertID // 1 to 32
	Nonce   []byte   // content of the nonce's extnValue, to be echoed as it is; nil for none
}

// ParseRequest reads a DER request (RFC 6960 section 4.1). It accepts at most
// 8 KiB, 1 to 32 CertIDs and a nonce of 1 to 128 octets, ignores the requestor's
// name, a signature and unknown extensions, and refuses unknown critical ones. Errors
// wrap [ErrMalformed].
func ParseRequest(der []byte) (Request, error) {
	var r Request
	return r, r.Parse(der)
}

// Parse is [ParseRequest] into a request that may have been used before; it keeps the room of its CertIDs.
func (r *Request) Parse(der []byte) error {
	r.CertIDs, r.Nonce = r.CertIDs[:0], nil
	if len(der) > maxRequest {
		return fmt.Errorf("%w: %d bytes, want at most %d", ErrMalformed, len(der), maxRequest)
	}
	outer, rest, ok := take(der, tagSequence)
	ok = ok && len(rest) == 0
	tbs, signature, is := take(outer, tagSequence)
	_, rest = takeOptional(signature, tagExplicit)
	ok = ok && is && len(rest) == 0
	version, tbs := takeOptional(tbs, tagExplicit)
	ok = ok && (version == nil || string(version) == "\x02\x01\x00")
	_, tbs = takeOptional(tbs, tagExplicit+1)
	list, tbs, is := take(tbs, tagSequence)
	ok = ok && is
	exts, tbs := takeOptional(tbs, tagExplicit+2)
	ok = ok && len(tbs) == 0
	if exts != nil {
		exts, rest, is = take(exts, tagSequence)
		ok = ok && is && len(rest) == 0
	}
	if !ok {
		return fmt.Errorf("%w: want the DER of one OCSPRequest, version 1", ErrMalformed)
	}
	if err := r.parseList(list); err != nil {
		return err
	}
	return r.parseExtensions(exts)
}

func (r *Request) parseList(list []byte) error {
	for len(list) > 0 {
		number := len(r.CertIDs) + 1
		if number > maxCertIDs {
			return fmt.Errorf("%w: want at most %d certificates", ErrMalformed, maxCertIDs)
		}
		one, rest, ok := take(list, tagSequence)
		list = rest
		r.CertIDs = append(r.CertIDs, CertID{})
		one, is := takeCertID(one, &r.CertIDs[number-1])
		exts, one := takeOptional(one, tagExplicit)
		if exts != nil {
			exts, rest, ok = take(exts, tagSequence)
			ok = ok && len(rest) == 0
		}
		if !ok || !is || len(one) > 0 {
			return fmt.Errorf("%w: certificate %d: want a CertID", ErrMalformed, number)
		}
		for in := cryptobyte.String(exts); !in.Empty(); {
			if e, ok := readExtension(&in); !ok || e.critical {
				return fmt.Errorf("%w: certificate %d: want no critical extension", ErrMalformed, number)
			}
		}
	}
	if len(r.CertIDs) == 0 {
		return fmt.Errorf("%w: no certificate is asked about, want 1 to %d", ErrMalformed, maxCertIDs)
	}
	return nil
}

func (r *Request) parseExtensions(exts cryptobyte.String) error {
	for !exts.Empty() {
		e, ok := readExtension(&exts)
		switch {
		case !ok:
			return fmt.Errorf("%w: want an Extension", ErrMalformed)
		case string(e.id) != oidNonce && e.critical:
			return fmt.Errorf("%w: unknown critical extension %x, want none", ErrMalformed, e.id)
		case string(e.id) != oidNonce:
			continue
		case r.Nonce != nil:
			return fmt.Errorf("%w: two nonces, want one", ErrMalformed)
		}
		if n := len(unwrapNonce(e.value)); n < 1 || n > maxNonce {
			return fmt.Errorf("%w: nonce of %d octets, want 1 to %d", ErrMalformed, n, maxNonce)
		}
		r.Nonce = e.value
	}
	return nil
}

// unwrapNonce returns the octets of a nonce from its extnValue. Older clients
// leave out the inner OCTET STRING.
func unwrapNonce(value cryptobyte.String) []byte {
	inner, rest := cryptobyte.String(nil), value
	if rest.ReadASN1(&inner, asn1.OCTET_STRING) && rest.Empty() {
		return inner
	}
	return value
}

func readCertID(s *cryptobyte.String, id *CertID) bool {
	rest, ok := takeCertID(*s, id)
	*s = rest
	return ok
}

// takeCertID takes a CertID off the front.
func takeCertID(der []byte, id *CertID) (rest []byte, ok bool) {
	body, rest, ok := take(der, tagSequence)
	if !ok {
		return der, false
	}
	id.Raw = der[:len(der)-len(rest)]
	algorithm, body, is := take(body, tagSequence)
	oid, parameters, ok := take(algorithm, tagOID)
	ok = ok && is
	id.IssuerNameHash, body, is = take(body, tagOctetString)
	ok = ok && is
	id.IssuerKeyHash, body, is = take(body, tagOctetString)
	ok = ok && is
	serial, body, is := take(body, tagInteger)
	if !ok || !is || len(body) > 0 || !minimal(serial) {
		return rest, false
	}
	id.Serial, id.bare, id.Hash = serial, len(parameters) == 0, 0
	if serial[0] == 0 {
		id.Serial = serial[1:]
	}
	switch string(oid) {
	case oidSHA1:
		id.Hash = crypto.SHA1
	case oidSHA256:
		id.Hash = crypto.SHA256
	case oidSHA384:
		id.Hash = crypto.SHA384
	case oidSHA512:
		id.Hash = crypto.SHA512
	default:
		return rest, true // parameters of an unknown algorithm are its own
	}
	return rest, id.bare || string(parameters) == "\x05\x00"
}

// hashOID returns the object identifier of a CertID hash.
func hashOID(h crypto.Hash) (string, error) {
	switch h {
	case crypto.SHA1:
		return oidSHA1, nil
	case crypto.SHA256:
		return oidSHA256, nil
	case crypto.SHA384:
		return oidSHA384, nil
	case crypto.SHA512:
		return oidSHA512, nil
	}
	return "", fmt.Errorf("hash %v: want SHA-1, SHA-256, SHA-384 or SHA-512", h)
}

// certIDHashes are the hashes a CertID may use, in the order of an issuerHashes.
func certIDHashes() [4]crypto.Hash {
	return [4]crypto.Hash{crypto.SHA1, crypto.SHA256, crypto.SHA384, crypto.SHA512}
}

// keyBits returns the bits of a certificate's public key, without algorithm, as
// CertIDs and responder ids hash them.
func keyBits(cert *x509.Certificate) ([]byte, error) {
	spki := cryptobyte.String(cert.RawSubjectPublicKeyInfo)
	var body cryptobyte.String
	var bits []byte
	if !spki.ReadASN1(&body, asn1.SEQUENCE) || !body.SkipASN1(asn1.SEQUENCE) || !body.ReadASN1BitStringAsBytes(&bits) {
		return nil, fmt.Errorf("certificate %q: want a SubjectPublicKeyInfo with whole octets of key", cert.Subject)
	}
	return bits, nil
}

func digest(h crypto.Hash, data []byte) []byte {
	if h == crypto.SHA256 { // of what is signed for each request
		sum := sha256.Sum256(data)
		return sum[:]
	}
	d := h.New()
	d.Write(data)
	return d.Sum(nil)
}

// checkPair says whether issuer is, by name, that of leaf.
func checkPair(leaf, issuer *x509.Certificate) error {
	if leaf == nil || issuer == nil {
		return errors.New("want a certificate and its issuer's")
	}
	if !bytes.Equal(leaf.RawIssuer, issuer.RawSubject) {
		return fmt.Errorf("certificate of %q was issued by %q: want the issuer's certificate, got %q",
			leaf.Subject, leaf.Issuer, issuer.Subject)
	}
	if leaf.SerialNumber == nil || leaf.SerialNumber.Sign() <= 0 {
		return fmt.Errorf("serial %v: want a positive integer", leaf.SerialNumber)
	}
	return nil
}

// newCertID builds the CertID of leaf, DER included.
func newCertID(leaf, issuer *x509.Certificate, hash crypto.Hash) (CertID, error) {
	if err := checkPair(leaf, issuer); err != nil {
		return CertID{}, err
	}
	oid, err := hashOID(hash)
	if err != nil {
		return CertID{}, err
	}
	bits, err := keyBits(issuer)
	if err != nil {
		return CertID{}, err
	}
	id := CertID{
		Hash:           hash,
		IssuerNameHash: digest(hash, issuer.RawSubject),
		IssuerKeyHash:  digest(hash, bits),
		Serial:         leaf.SerialNumber.Bytes(),
	}
	var b cryptobyte.Builder
	b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
			addOID(b, oid)
			b.AddASN1NULL()
		})
		b.AddASN1OctetString(id.IssuerNameHash)
		b.AddASN1OctetString(id.IssuerKeyHash)
		addInteger(b, id.Serial)
	})
	id.Raw, err = b.Bytes()
	return id, err
}

// NewRequest builds a request about leaf, which issuer issued, with one CertID
// by the given hash and, unless nonce is nil, a nonce of 1 to 128 octets.
func NewRequest(leaf, issuer *x509.Certificate, hash crypto.Hash, nonce []byte) ([]byte, error) {
	id, err := newCertID(leaf, issuer, hash)
	if err != nil {
		return nil, fmt.Errorf("building OCSP request: %w", err)
	}
	if nonce != nil && (len(nonce) == 0 || len(nonce) > maxNonce) {
		return nil, fmt.Errorf("building OCSP request: nonce of %d octets, want 1 to %d", len(nonce), maxNonce)
	}
	var value, b cryptobyte.Builder
	value.AddASN1OctetString(nonce)
	wrapped, err := value.Bytes()
	if err != nil {
		return nil, fmt.Errorf("building OCSP request: %w", err)
	}
	b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
				b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) { b.AddBytes(id.Raw) })
			})
			if nonce != nil {
				addNonce(b, explicit(2), wrapped)
			}
		})
	})
	return b.Bytes()
}

// addNonce appends an Extensions field that holds only a nonce.
func addNonce(b *cryptobyte.Builder, tag asn1.Tag, value []byte) {
	b.AddASN1(tag, func(b *cryptobyte.Builder) {
		b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) { addExtension(b, oidNonce, value) })
	})
}
