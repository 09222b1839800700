package ocsp

import (
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

// Limits of a response.
const (
	maxResponse     = 64 << 10 // bytes
	maxCertificates = 8
)

// A ResponseStatus is the outcome of a whole request (RFC 6960 section 4.2.1).
type ResponseStatus int

// The outcomes. Code 4 is not used.
const (
	Successful   ResponseStatus = 0
	Malformed    ResponseStatus = 1
	Internal     ResponseStatus = 2
	TryLater     ResponseStatus = 3
	SigRequired  ResponseStatus = 5
	Unauthorized ResponseStatus = 6
)

// String returns the name of the outcome in RFC 6960.
func (s ResponseStatus) String() string {
	switch s {
	case Successful:
		return "successful"
	case Malformed:
		return "malformedRequest"
	case Internal:
		return "internalError"
	case TryLater:
		return "tryLater"
	case SigRequired:
		return "sigRequired"
	case Unauthorized:
		return "unauthorized"
	}
	return fmt.Sprintf("responseStatus(%d)", int(s))
}

// A ResponseError is an answer that carries no status, unsigned.
type ResponseError struct {
	Status ResponseStatus // never Successful
}

// Error names the outcome.
func (e *ResponseError) Error() string {
	return "OCSP responder answered " + e.Status.String() + ", want successful"
}

// A SingleResponse is the status of one certificate within a response.
type SingleResponse struct {
	CertID     CertID
	State      State
	Reason     int       // reason code of RFC 5280, when revoked; 0 if none is given
	RevokedAt  time.Time // when revoked
	ThisUpdate time.Time // the status was right at this time
	NextUpdate time.Time // newer information comes by this time; zero if absent

	Invalidity    time.Time // since when the key is suspected, when revoked (RFC 5280 section 5.3.2); zero if absent
	ArchiveCutoff time.Time // statuses are kept since then (RFC 6960 section 4.4.4); zero if absent
	// NeverIssued says that a serial is revoked because nobody issued it (RFC 6960 section 4.4.8).
	NeverIssued bool
}

// A Response is a parsed basic OCSP response (RFC 6960 section 4.2.1). Nothing in it
// is verified: see [VerifyResponse]. Its byte slices point into the parsed bytes.
type Response struct {
	TBS                []byte // the signed bytes, ResponseData
	SignatureAlgorithm []byte // AlgorithmIdentifier, DER
	Signature          []byte
	ResponderName      []byte // the responder's Name, DER, if it gave one
	ResponderKeyHash   []byte // SHA-1 of the responder's key bits, if it gave one
	ProducedAt         time.Time
	Singles            []SingleResponse
	Certificates       []*x509.Certificate // at most 8, to verify the signature with
	Nonce              []byte              // content of the nonce's extnValue, nil for none
	ExtendedRevoke     bool                // the responder calls serials revoked that were never issued (RFC 6960 section 4.4.8)
}

// ParseResponse reads a DER response of at most 64 KiB. An answer other than
// successful is a *[ResponseError]. An unknown critical extension is an error.
func ParseResponse(der []byte) (*Response, error) {
	if len(der) > maxResponse {
		return nil, fmt.Errorf("OCSP response of %d bytes: want at most %d", len(der), maxResponse)
	}
	in := cryptobyte.String(der)
	var outer, wrapped, typed, oid, basic cryptobyte.String
	var status int
	if !in.ReadASN1(&outer, asn1.SEQUENCE) || !in.Empty() || !outer.ReadASN1Enum(&status) {
		return nil, errors.New("OCSP response: want the DER of one OCSPResponse")
	}
	if status != int(Successful) {
		return nil, &ResponseError{Status: ResponseStatus(status)}
	}
	ok := outer.ReadASN1(&wrapped, explicit(0)) && outer.Empty() &&
		wrapped.ReadASN1(&typed, asn1.SEQUENCE) && wrapped.Empty() &&
		typed.ReadASN1(&oid, asn1.OBJECT_IDENTIFIER) &&
		typed.ReadASN1(&basic, asn1.OCTET_STRING) && typed.Empty()
	if !ok || string(oid) != oidBasic {
		return nil, errors.New("OCSP response: want an id-pkix-ocsp-basic response")
	}
	return parseBasic(basic)
}

func parseBasic(basic cryptobyte.String) (*Response, error) {
	var r Response
	var body, tbs, algorithm, wrapped, certs cryptobyte.String
	var withCerts bool
	ok := basic.ReadASN1(&body, asn1.SEQUENCE) && basic.Empty() &&
		body.ReadASN1Element(&tbs, asn1.SEQUENCE) &&
		body.ReadASN1Element(&algorithm, asn1.SEQUENCE) &&
		body.ReadASN1BitStringAsBytes(&r.Signature) &&
		body.ReadOptionalASN1(&wrapped, &withCerts, explicit(0)) && body.Empty()
	if ok && withCerts {
		ok = wrapped.ReadASN1(&certs, asn1.SEQUENCE) && wrapped.Empty()
	}
	if !ok {
		return nil, errors.New("OCSP response: want the DER of one BasicOCSPResponse")
	}
	r.TBS, r.SignatureAlgorithm = tbs, algorithm
	for !certs.Empty() {
		var der cryptobyte.String
		if len(r.Certificates) == maxCertificates || !certs.ReadASN1Element(&der, asn1.SEQUENCE) {
			return nil, fmt.Errorf("OCSP response: want at most %d certificates", maxCertificates)
		}
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, fmt.Errorf("OCSP response: certificate %d: %w", len(r.Certificates)+1, err)
		}
		r.Certificates = append(r.Certificates, cert)
	}
	if err := r.parseData(tbs); err != nil {
		return nil, fmt.Errorf("OCSP response: %w", err)
	}
	return &r, nil
}

// neverIssued is when a serial counts as revoked that nobody issued (RFC 6960 section 2.2).
var neverIssued = time.Unix(0, 0).UTC()

// parseData reads ResponseData.
func (r *Response) parseData(tbs cryptobyte.String) error {
	var data, id, list, exts cryptobyte.String
	var tag asn1.Tag
	ok := tbs.ReadASN1(&data, asn1.SEQUENCE) && skipVersion1(&data) &&
		data.ReadAnyASN1(&id, &tag) &&
		data.ReadASN1GeneralizedTime(&r.ProducedAt) &&
		data.ReadASN1(&list, asn1.SEQUENCE) &&
		readExtensions(&data, explicit(1), &exts) && data.Empty()
	switch {
	case ok && tag == explicit(1):
		var name cryptobyte.String
		ok = id.ReadASN1Element(&name, asn1.SEQUENCE) && id.Empty()
		r.ResponderName = name
	case ok && tag == explicit(2):
		var hash cryptobyte.String
		ok = id.ReadASN1(&hash, asn1.OCTET_STRING) && id.Empty()
		r.ResponderKeyHash = hash
	default:
		ok = false
	}
	if !ok {
		return errors.New("want ResponseData, version 1")
	}
	for !list.Empty() {
		single, err := parseSingle(&list)
		if err != nil {
			return fmt.Errorf("status %d: %w", len(r.Singles)+1, err)
		}
		r.Singles = append(r.Singles, single)
	}
	for !exts.Empty() {
		e, ok := readExtension(&exts)
		switch {
		case !ok:
			return errors.New("want an Extension")
		case string(e.id) == oidNonce:
			r.Nonce = e.value
		case string(e.id) == oidExtendedRevoke:
			r.ExtendedRevoke = true
		case e.critical:
			return fmt.Errorf("unknown critical extension %x, want none", e.id)
		}
	}
	for i := range r.Singles {
		s := &r.Singles[i]
		s.NeverIssued = r.ExtendedRevoke && s.State == Revoked && s.Reason == reasonHold && s.RevokedAt.Equal(neverIssued)
	}
	return nil
}

func parseSingle(list *cryptobyte.String) (SingleResponse, error) {
	var single SingleResponse
	var body, status, next, exts cryptobyte.String
	var tag asn1.Tag
	var withNext bool
	ok := list.ReadASN1(&body, asn1.SEQUENCE) && readCertID(&body, &single.CertID) &&
		body.ReadAnyASN1(&status, &tag) &&
		body.ReadASN1GeneralizedTime(&single.ThisUpdate) &&
		body.ReadOptionalASN1(&next, &withNext, explicit(0)) &&
		readExtensions(&body, explicit(1), &exts) && body.Empty()
	if ok && withNext {
		ok = next.ReadASN1GeneralizedTime(&single.NextUpdate) && next.Empty()
	}
	if !ok || !single.readState(status, tag) {
		return single, errors.New("want a SingleResponse with times in whole seconds")
	}
	return single, single.readExtensions(exts)
}

// readExtensions reads the extensions of one status.
func (s *SingleResponse) readExtensions(exts cryptobyte.String) error {
	for !exts.Empty() {
		e, ok := readExtension(&exts)
		switch {
		case !ok:
			return errors.New("want an Extension")
		case string(e.id) == oidArchiveCutoff:
			ok = e.value.ReadASN1GeneralizedTime(&s.ArchiveCutoff) && e.value.Empty()
		case string(e.id) == oidInvalidityDate:
			ok = e.value.ReadASN1GeneralizedTime(&s.Invalidity) && e.value.Empty()
		case e.critical:
			return errors.New("want no critical extension")
		}
		if !ok {
			return fmt.Errorf("extension %x: want a time in whole seconds", e.id)
		}
	}
	return nil
}

// readState reads a CertStatus of the given tag.
func (s *SingleResponse) readState(status cryptobyte.String, tag asn1.Tag) bool {
	switch tag {
	case asn1.Tag(0).ContextSpecific():
		s.State = Good
		return status.Empty()
	case asn1.Tag(2).ContextSpecific():
		s.State = Unknown
		return status.Empty()
	case explicit(1):
		s.State = Revoked
		var reason cryptobyte.String
		var present bool
		return status.ReadASN1GeneralizedTime(&s.RevokedAt) &&
			status.ReadOptionalASN1(&reason, &present, explicit(0)) && status.Empty() &&
			(!present || reason.ReadASN1Enum(&s.Reason) && reason.Empty())
	}
	return false
}
