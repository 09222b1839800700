package ca

import (
	"bytes"
	"context"
	"crypto/x509"
	stdasn1 "encoding/asn1"
	"errors"
	"fmt"
	"math/big"
	"time"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"

	"github.com/payca/payca/ca/audit"
)

// SignCRL takes the next CRL number of the named issuer, which is durable before anything is signed,
// asks tbs for the TBSCertList with that number, and returns it with its signature. It refuses
// to sign anything but a version 2 TBSCertList of that issuer with that number, its signature
// algorithm and a thisUpdate that is not in the future (RFC 5280 section 5.1.2).
func (a *Authority) SignCRL(ctx context.Context, issuer string, tbs func(number uint64) ([]byte, error)) (tbsDER, signature []byte, err error) {
	is, err := a.issuer(issuer)
	if err != nil {
		return nil, nil, err
	}
	number, err := a.cfg.Store.NextCRLNumber(ctx, issuer, audit.Event{
		Time: a.now(), Kind: audit.CRLSigned, Actor: self, Issuer: issuer,
	})
	if err != nil {
		return nil, nil, fmt.Errorf("taking a CRL number of the %s CA: %w", issuer, err)
	}
	tbsDER, err = tbs(number)
	if err != nil {
		return nil, nil, fmt.Errorf("building CRL %d of the %s CA: %w", number, issuer, err)
	}
	list, err := checkTBSCertList(tbsDER, is.cert, a.now())
	if err != nil {
		return nil, nil, fmt.Errorf("refusing to sign CRL %d of the %s CA: %w", number, issuer, err)
	}
	if list.number.Cmp(new(big.Int).SetUint64(number)) != 0 {
		return nil, nil, fmt.Errorf("refusing to sign CRL %d of the %s CA: it has number %s", number, issuer, list.number)
	}
	signature, err = is.sign(tbsDER)
	if err != nil {
		return nil, nil, err
	}
	return tbsDER, signature, nil
}

// A tbsCertList is what has to be right before a list is signed.
type tbsCertList struct {
	algorithm, issuer      []byte // DER
	thisUpdate, nextUpdate time.Time
	number                 *big.Int
	keyID                  []byte // of the authority key identifier
}

var (
	oidCRLNumber      = stdasn1.ObjectIdentifier{2, 5, 29, 20}
	oidAuthorityKeyID = stdasn1.ObjectIdentifier{2, 5, 29, 35}
)

// checkTBSCertList refuses what is not a list that the CA may sign at that time.
func checkTBSCertList(der []byte, ca *x509.Certificate, now time.Time) (tbsCertList, error) {
	l, err := parseTBSCertList(der)
	if err != nil {
		return l, err
	}
	if !bytes.Equal(l.issuer, ca.RawSubject) {
		return l, fmt.Errorf("its issuer is another, want %q", ca.Subject)
	}
	if !bytes.Equal(l.keyID, ca.SubjectKeyId) {
		return l, fmt.Errorf("authority key identifier %x, want %x", l.keyID, ca.SubjectKeyId)
	}
	want, err := algorithmIdentifier(ca.PublicKey)
	if err != nil {
		return l, err
	}
	if !bytes.Equal(l.algorithm, want) {
		return l, fmt.Errorf("signature algorithm %x, want %x", l.algorithm, want)
	}
	if l.thisUpdate.After(now) {
		return l, fmt.Errorf("thisUpdate %s is in the future", l.thisUpdate.Format(time.RFC3339))
	}
	if !l.nextUpdate.After(l.thisUpdate) {
		return l, errors.New("nextUpdate is not after thisUpdate")
	}
	return l, nil
}

// parseTBSCertList reads a TBSCertList (RFC 5280 section 5.1) strictly and to its last byte, in
// memory that does not grow with the number of entries. No TBSCertificate reads as one: where a list has
// thisUpdate, a certificate has a SEQUENCE.
func parseTBSCertList(der []byte) (tbsCertList, error) {
	var l tbsCertList
	bad := func(what string) (tbsCertList, error) {
		return l, fmt.Errorf("not a TBSCertList: %s", what)
	}
	in, tbs := cryptobyte.String(der), cryptobyte.String(nil)
	if !in.ReadASN1(&tbs, asn1.SEQUENCE) || !in.Empty() {
		return bad("want one SEQUENCE")
	}
	var version int64
	if !tbs.ReadASN1Integer(&version) || version != 1 {
		return bad("want version 2")
	}
	var algorithm, issuer, rest cryptobyte.String
	if !tbs.ReadASN1Element(&algorithm, asn1.SEQUENCE) || !tbs.ReadASN1Element(&issuer, asn1.SEQUENCE) {
		return bad("want signature algorithm and issuer")
	}
	l.algorithm, l.issuer = algorithm, issuer
	if !readTime(&tbs, &l.thisUpdate) || !readTime(&tbs, &l.nextUpdate) {
		return bad("want thisUpdate and nextUpdate")
	}
	if tbs.PeekASN1Tag(asn1.SEQUENCE) {
		var entries cryptobyte.String
		if !tbs.ReadASN1(&entries, asn1.SEQUENCE) || entries.Empty() {
			return bad("want revokedCertificates absent or not empty")
		}
		for !entries.Empty() {
			if !skipEntry(&entries) {
				return bad("want entries of serial, date and extensions")
			}
		}
	}
	if !tbs.ReadASN1(&rest, asn1.Tag(0).ContextSpecific().Constructed()) || !tbs.Empty() {
		return bad("want crlExtensions at the end")
	}
	if !l.readExtensions(rest) {
		return bad("want extensions, each once, with authority key identifier and CRL number")
	}
	return l, nil
}

// skipEntry reads one revoked certificate.
func skipEntry(entries *cryptobyte.String) bool {
	var entry, extensions cryptobyte.String
	var serial []byte
	var at time.Time
	return entries.ReadASN1(&entry, asn1.SEQUENCE) &&
		entry.ReadASN1Integer(&serial) && len(serial) <= 20 &&
		readTime(&entry, &at) &&
		(entry.Empty() || entry.ReadASN1(&extensions, asn1.SEQUENCE)) && entry.Empty()
}

// readTime reads a Time: UTCTime or GeneralizedTime.
func readTime(in *cryptobyte.String, out *time.Time) bool {
	if in.PeekASN1Tag(asn1.UTCTime) {
		return in.ReadASN1UTCTime(out)
	}
	return in.ReadASN1GeneralizedTime(out)
}

func (l *tbsCertList) readExtensions(in cryptobyte.String) bool {
	var list cryptobyte.String
	if !in.ReadASN1(&list, asn1.SEQUENCE) || !in.Empty() {
		return false
	}
	seen := make(map[string]bool)
	for !list.Empty() {
		var extension, value cryptobyte.String
		var id stdasn1.ObjectIdentifier
		var critical bool
		if !list.ReadASN1(&extension, asn1.SEQUENCE) || !extension.ReadASN1ObjectIdentifier(&id) ||
			!extension.ReadOptionalASN1Boolean(&critical, asn1.BOOLEAN, false) ||
			!extension.ReadASN1(&value, asn1.OCTET_STRING) || !extension.Empty() || seen[id.String()] {
			return false
		}
		seen[id.String()] = true
		switch {
		case id.Equal(oidCRLNumber):
			l.number = new(big.Int)
			if !value.ReadASN1Integer(l.number) || !value.Empty() || l.number.Sign() < 0 {
				return false
			}
		case id.Equal(oidAuthorityKeyID):
			var aki, keyID cryptobyte.String
			if !value.ReadASN1(&aki, asn1.SEQUENCE) || !value.Empty() ||
				!aki.ReadASN1(&keyID, asn1.Tag(0).ContextSpecific()) {
				return false
			}
			l.keyID = keyID
		}
	}
	return l.number != nil && l.keyID != nil
}

// algorithmIdentifier is the DER of what [signatureAlgorithm] says (RFC 5758 section 3.2, RFC 8410
// section 3, RFC 4055 section 5).
func algorithmIdentifier(pub any) ([]byte, error) {
	algorithm, _, err := signatureAlgorithm(pub)
	if err != nil {
		return nil, err
	}
	id := map[x509.SignatureAlgorithm]stdasn1.ObjectIdentifier{
		x509.ECDSAWithSHA256: {1, 2, 840, 10045, 4, 3, 2},
		x509.ECDSAWithSHA384: {1, 2, 840, 10045, 4, 3, 3},
		x509.PureEd25519:     {1, 3, 101, 112},
		x509.SHA256WithRSA:   {1, 2, 840, 113549, 1, 1, 11},
	}[algorithm]
	var b cryptobyte.Builder
	b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1ObjectIdentifier(id)
		if algorithm == x509.SHA256WithRSA {
			b.AddASN1NULL()
		}
	})
	return b.Bytes()
}
