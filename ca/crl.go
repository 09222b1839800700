package ca

import (
	"bytes"
	"context"
	"crypto/x509"
	stdasn1 "encoding/asn1"
	"errors"
	"fmt"
	"io"
	"math/big"
	"strings"
	"time"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"

	"github.com/payca/payca/ca/audit"
)

// A CRLSigning is the right to sign lists of one issuing CA with one number: the full list, its delta and shards of it,
// each at most once.
type CRLSigning struct {
	a      *Authority
	issuer *issuer
	number uint64
}

// BeginCRL takes the next CRL number of the named issuer for the lists named, and makes it durable before anything
// is signed. The names are for the audit log.
func (a *Authority) BeginCRL(ctx context.Context, issuer string, lists ...string) (*CRLSigning, error) {
	is, err := a.issuer(issuer)
	if err != nil {
		return nil, err
	}
	event := audit.Event{Time: a.now(), Kind: audit.CRLSigned, Actor: self, Issuer: issuer}
	if len(lists) > 0 {
		event.Attrs = map[string]string{"lists": clip(strings.Join(lists, " "))}
	}
	number, err := a.cfg.Store.NextCRLNumber(ctx, issuer, event)
	if err != nil {
		return nil, fmt.Errorf("taking a CRL number of the %s CA: %w", issuer, err)
	}
	return &CRLSigning{a: a, issuer: is, number: number}, nil
}

// Number returns the number of the lists.
func (s *CRLSigning) Number() uint64 { return s.number }

// Sign signs the TBSCertList that tbs writes, in memory that does not grow with it unless the key is Ed25519. It refuses
// to sign anything but a version 2 TBSCertList of the issuer with the number, its signature
// algorithm and a thisUpdate that is not in the future (RFC 5280 section 5.1.2).
func (s *CRLSigning) Sign(tbs func(io.Writer) error) ([]byte, error) {
	list, m, err := readTBSCertList(tbs, s.issuer.cert, s.a.now())
	if err == nil && list.number.Cmp(new(big.Int).SetUint64(s.number)) != 0 {
		err = fmt.Errorf("it has number %s", list.number)
	}
	if err != nil {
		return nil, fmt.Errorf("refusing to sign CRL %d of the %s CA: %w", s.number, s.issuer.name, err)
	}
	return s.issuer.signMessage(m)
}

// readTBSCertList checks what tbs writes, and returns it as a message to be signed.
func readTBSCertList(tbs func(io.Writer) error, ca *x509.Certificate, now time.Time) (tbsCertList, *message, error) {
	m, err := newMessage(ca.PublicKey)
	if err != nil {
		return tbsCertList{}, nil, err
	}
	reader := &listReader{}
	if err := tbs(io.MultiWriter(reader, m)); err != nil {
		return tbsCertList{}, nil, err
	}
	if err := reader.finish(); err != nil {
		return tbsCertList{}, nil, err
	}
	return reader.list, m, checkTBSCertList(reader.list, ca, now)
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
func checkTBSCertList(l tbsCertList, ca *x509.Certificate, now time.Time) error {
	if !bytes.Equal(l.issuer, ca.RawSubject) {
		return fmt.Errorf("its issuer is another, want %q", ca.Subject)
	}
	if !bytes.Equal(l.keyID, ca.SubjectKeyId) {
		return fmt.Errorf("authority key identifier %x, want %x", l.keyID, ca.SubjectKeyId)
	}
	want, err := algorithmIdentifier(ca.PublicKey)
	if err != nil {
		return err
	}
	if !bytes.Equal(l.algorithm, want) {
		return fmt.Errorf("signature algorithm %x, want %x", l.algorithm, want)
	}
	if l.thisUpdate.After(now) {
		return fmt.Errorf("thisUpdate %s is in the future", l.thisUpdate.Format(time.RFC3339))
	}
	if !l.nextUpdate.After(l.thisUpdate) {
		return errors.New("nextUpdate is not after thisUpdate")
	}
	return nil
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
