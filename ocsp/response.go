package ocsp

import (
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"time"

	"golang.org/x/crypto/cryptobyte"
	casn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// MaxResponse is how many octets of a response are read.
const MaxResponse = 64 << 10

var oidBasic = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 48, 1, 1}

// A ResponseStatus is the outcome of a request as a whole (RFC 6960 section 4.2.1).
type ResponseStatus int

// The outcomes. 4 is not used.
const (
	Successful       ResponseStatus = 0
	MalformedRequest ResponseStatus = 1
	InternalError    ResponseStatus = 2
	TryLater         ResponseStatus = 3
	SigRequired      ResponseStatus = 5
	Unauthorized     ResponseStatus = 6
)

// String returns the name in RFC 6960.
func (s ResponseStatus) String() string {
	switch s {
	case Successful:
		return "successful"
	case MalformedRequest:
		return "malformedRequest"
	case InternalError:
		return "internalError"
	case TryLater:
		return "tryLater"
	case SigRequired:
		return "sigRequired"
	case Unauthorized:
		return "unauthorized"
	}
	return fmt.Sprintf("status %d", int(s))
}

// A Single is the answer about one certificate.
type Single struct {
	ID         CertID
	Status     Status    // Since is not part of an answer
	ThisUpdate time.Time //
	NextUpdate time.Time // zero if it is absent
}

// A Response is a parsed OCSP response. If Status is not Successful the rest is empty.
type Response struct {
	Status       ResponseStatus
	ResponderKey []byte // byKey responder id: SHA-1 of the key
	ResponderDN  []byte // byName responder id: the name in DER
	ProducedAt   time.Time
	Singles      []Single
	Nonce        []byte // extnValue, nil if there is none
	Certificates []*x509.Certificate

	tbs       []byte
	algorithm x509.SignatureAlgorithm
	signature []byte
}

// ParseResponse reads an OCSP response in DER without judging it; see [VerifyResponse].
func ParseResponse(der []byte) (*Response, error) {
	if len(der) > MaxResponse {
		return nil, fmt.Errorf("ocsp response has %d octets, want at most %d", len(der), MaxResponse)
	}
	input := cryptobyte.String(der)
	var outer, wrapped, body, basic cryptobyte.String
	var status int
	var has bool
	if !input.ReadASN1(&outer, casn1.SEQUENCE) || !input.Empty() || !outer.ReadASN1Enum(&status) ||
		!outer.ReadOptionalASN1(&wrapped, &has, tagged(0)) || !outer.Empty() {
		return nil, errors.New("not an ocsp response in DER")
	}
	r := &Response{Status: ResponseStatus(status)}
	if r.Status != Successful {
		return r, nil
	}
	var oid asn1.ObjectIdentifier
	if !has || !wrapped.ReadASN1(&body, casn1.SEQUENCE) || !wrapped.Empty() || !body.ReadASN1ObjectIdentifier(&oid) ||
		!body.ReadASN1(&basic, casn1.OCTET_STRING) || !body.Empty() {
		return nil, errors.New("ocsp response: malformed responseBytes")
	}
	if !oid.Equal(oidBasic) {
		return nil, fmt.Errorf("ocsp response of type %s, want basic", oid)
	}
	return r, r.parseBasic(basic)
}

func (r *Response) parseBasic(input cryptobyte.String) error {
	var outer, tbs, certs cryptobyte.String
	var signature asn1.BitString
	var has, ok bool
	if !input.ReadASN1(&outer, casn1.SEQUENCE) || !input.Empty() || !outer.ReadASN1Element(&tbs, casn1.SEQUENCE) {
		return errors.New("ocsp response: malformed basicResponse")
	}
	r.tbs = tbs
	if r.algorithm, ok = readAlgorithm(&outer); !ok || !outer.ReadASN1BitString(&signature) ||
		!outer.ReadOptionalASN1(&certs, &has, tagged(0)) || !outer.Empty() {
		return errors.New("ocsp response: malformed basicResponse")
	}
	r.signature = signature.RightAlign()
	if has {
		var list cryptobyte.String
		if !certs.ReadASN1(&list, casn1.SEQUENCE) || !certs.Empty() {
			return errors.New("ocsp response: malformed certs")
		}
		var err error
		if r.Certificates, err = x509.ParseCertificates(list); err != nil {
			return fmt.Errorf("ocsp response: %w", err)
		}
	}
	return r.parseData(tbs)
}

func (r *Response) parseData(element cryptobyte.String) error {
	var data, id, list, extensions cryptobyte.String
	var version int
	var has bool
	if !element.ReadASN1(&data, casn1.SEQUENCE) || !data.ReadOptionalASN1Integer(&version, tagged(0), 0) || version != 0 {
		return errors.New("ocsp response: malformed responseData, or its version is not 0")
	}
	switch {
	case data.PeekASN1Tag(tagged(1)):
		if !data.ReadASN1(&id, tagged(1)) {
			return errors.New("ocsp response: malformed responderID")
		}
		r.ResponderDN = id
	case !data.ReadASN1(&id, tagged(2)) || !id.ReadASN1Bytes(&r.ResponderKey, casn1.OCTET_STRING) || !id.Empty():
		return errors.New("ocsp response: malformed responderID")
	}
	if !data.ReadASN1GeneralizedTime(&r.ProducedAt) || !data.ReadASN1(&list, casn1.SEQUENCE) ||
		!data.ReadOptionalASN1(&extensions, &has, tagged(1)) || !data.Empty() {
		return errors.New("ocsp response: malformed responseData")
	}
	for !list.Empty() {
		var body cryptobyte.String
		if len(r.Singles) == MaxCertIDs || !list.ReadASN1(&body, casn1.SEQUENCE) {
			return errors.New("ocsp response: malformed responses, or more than 32")
		}
		single, err := readSingle(body)
		if err != nil {
			return err
		}
		r.Singles = append(r.Singles, single)
	}
	if !has {
		return nil
	}
	var err error
	r.Nonce, err = readExtensions(extensions, oidNonce)
	return err
}

func readSingle(s cryptobyte.String) (Single, error) {
	var single Single
	var err error
	if single.ID, err = readCertID(&s); err != nil {
		return single, err
	}
	malformed := errors.New("ocsp response: malformed singleResponse")
	good, unknown := casn1.Tag(0).ContextSpecific(), casn1.Tag(2).ContextSpecific()
	var status, next, extensions cryptobyte.String
	var hasNext, hasExtensions bool
	switch {
	case s.PeekASN1Tag(good):
		single.Status.State = Good
		if !s.ReadASN1(&status, good) || !status.Empty() {
			return single, malformed
		}
	case s.PeekASN1Tag(tagged(1)):
		single.Status.State = Revoked
		if !s.ReadASN1(&status, tagged(1)) || !readRevokedInfo(status, &single.Status) {
			return single, malformed
		}
	case !s.ReadASN1(&status, unknown) || !status.Empty():
		return single, malformed
	}
	if !s.ReadASN1GeneralizedTime(&single.ThisUpdate) || !s.ReadOptionalASN1(&next, &hasNext, tagged(0)) ||
		!s.ReadOptionalASN1(&extensions, &hasExtensions, tagged(1)) || !s.Empty() {
		return single, malformed
	}
	if hasNext && (!next.ReadASN1GeneralizedTime(&single.NextUpdate) || !next.Empty()) {
		return single, malformed
	}
	if hasExtensions {
		_, err = readExtensions(extensions, nil)
	}
	return single, err
}

func readRevokedInfo(s cryptobyte.String, status *Status) bool {
	var reason cryptobyte.String
	var has bool
	if !s.ReadASN1GeneralizedTime(&status.RevokedAt) || !s.ReadOptionalASN1(&reason, &has, tagged(0)) || !s.Empty() {
		return false
	}
	return !has || reason.ReadASN1Enum(&status.Reason) && reason.Empty()
}

// appendSingle writes a SingleResponse. The CertID is echoed as it was asked.
func appendSingle(b *cryptobyte.Builder, single Single) {
	b.AddASN1(casn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddBytes(single.ID.Raw)
		switch single.Status.State {
		case Good:
			b.AddASN1(casn1.Tag(0).ContextSpecific(), func(*cryptobyte.Builder) {})
		case Revoked:
			b.AddASN1(tagged(1), func(b *cryptobyte.Builder) {
				b.AddASN1GeneralizedTime(single.Status.RevokedAt.UTC())
				if single.Status.Reason != 0 {
					b.AddASN1(tagged(0), func(b *cryptobyte.Builder) { b.AddASN1Enum(int64(single.Status.Reason)) })
				}
			})
		default:
			b.AddASN1(casn1.Tag(2).ContextSpecific(), func(*cryptobyte.Builder) {})
		}
		b.AddASN1GeneralizedTime(single.ThisUpdate.UTC())
		b.AddASN1(tagged(0), func(b *cryptobyte.Builder) { b.AddASN1GeneralizedTime(single.NextUpdate.UTC()) })
	})
}

// errorResponse is a response without an answer.
func errorResponse(status ResponseStatus) []byte {
	return []byte{0x30, 0x03, 0x0a, 0x01, byte(status)}
}
