// Package bulk fills a store with many certificates, for measuring it.
package bulk

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/binary"
	"fmt"
	"math/big"
	"net/url"
	"time"

	"github.com/payca/payca/ca"
	"github.com/payca/payca/ca/audit"
	"github.com/payca/payca/policy"
	"golang.org/x/sync/errgroup"
)

// Epoch is when the certificates begin.
var Epoch = time.Date(2030, time.March, 4, 5, 6, 7, 0, time.UTC)

// Load issues n certificates into a store with so many concurrent callers, for measuring it, over the way that every
// certificate takes: an intent and an issuance for each. The certificates are one template, of the size that a
// network issues, with a serial, a key and names of their own, and no valid signature. They belong to n/10
// parties "party-0" and on, of four roles, and have the DNS name "shop-000000000.example.test" and on, by party; they end over two years from
// [Epoch]. Another n makes other serials. A store that need not reach the disk is loaded in a minute or two for a million.
func Load(ctx context.Context, store ca.Store, n, callers int) error {
	t, err := newTemplate()
	if err != nil {
		return err
	}
	return each(ctx, n, callers, func(i int) error {
		if err := t.issue(ctx, store, i, n); err != nil {
			return fmt.Errorf("loading certificate %d: %w", i, err)
		}
		return nil
	})
}

// Revoke revokes the certificates that [Load] issued, with so many concurrent callers, for reasons by turns.
func Revoke(ctx context.Context, store ca.Store, n, callers int) error {
	reasons := []ca.Reason{ca.Unspecified, ca.KeyCompromise, ca.Superseded, ca.CessationOfOperation}
	return each(ctx, n, callers, func(i int) error {
		serial := serialOf(seedOf(i, n))
		rec, err := store.BySerial(ctx, serial)
		if err == nil {
			err = store.Revoke(ctx, ca.Revocation{
				Serial: serial, Issuer: rec.Issuer, Reason: reasons[i%len(reasons)], At: Epoch, NotAfter: rec.NotAfter, By: "local", Shard: rec.Shard,
			}, audit.Event{Time: Epoch, Kind: audit.CertificateRevoked, Issuer: rec.Issuer, Serial: serial.String()})
		}
		if err != nil {
			return fmt.Errorf("revoking certificate %d: %w", i, err)
		}
		return nil
	})
}

// each does something for every number below n, so many at a time, until an error.
func each(ctx context.Context, n, callers int, do func(i int) error) error {
	group, doing := errgroup.WithContext(ctx)
	group.SetLimit(callers)
	for i := 0; i < n && doing.Err() == nil; i++ {
		group.Go(func() error { return do(i) })
	}
	if err := group.Wait(); err != nil {
		return err
	}
	return ctx.Err()
}

// template is a certificate in which some octets are replaced.
type template struct {
	der             []byte
	serial, key     int // where they stand
	dns, uri        int // the digits of the names
	digits, keySize int
}

const templateNumber = "000000000"

func newTemplate() (*template, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	serial := bytes.Repeat([]byte{0x5a}, len(ca.Serial{}))
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: new(big.Int).SetBytes(serial), Subject: pkix.Name{CommonName: "party", Organization: []string{"Acme Computers"}},
		NotBefore: Epoch, NotAfter: Epoch.AddDate(1, 0, 0), KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth}, BasicConstraintsValid: true,
		DNSNames: []string{"shop-" + templateNumber + ".example.test"}, AuthorityKeyId: make([]byte, 20), SubjectKeyId: make([]byte, 20),
		URIs:                  []*url.URL{{Scheme: "spiffe", Host: "merchant.pay.example", Path: "/party-" + templateNumber}},
		OCSPServer:            []string{"http://status.pay.example/ocsp/merchant"},
		IssuingCertificateURL: []string{"http://status.pay.example/ca/merchant.crt"},
		CRLDistributionPoints: []string{"http://status.pay.example/crl/merchant.crl"},
	}, &x509.Certificate{Subject: pkix.Name{CommonName: "merchant CA of pay.example"}}, key.Public(), key)
	if err != nil {
		return nil, err
	}
	point, err := key.PublicKey.Bytes()
	if err != nil {
		return nil, err
	}
	return &template{
		der: der, serial: bytes.Index(der, serial), key: bytes.Index(der, point) + 1, keySize: len(point) - 1,
		dns: bytes.Index(der, []byte("shop-"+templateNumber)) + 5, uri: bytes.Index(der, []byte("/party-"+templateNumber)) + 7, digits: len(templateNumber),
	}, nil
}

// issue puts certificate i of n into the store.
func (t *template) issue(ctx context.Context, store ca.Store, i, n int) error {
	seed := seedOf(i, n)
	serial := serialOf(seed)
	roles := []policy.Role{policy.Consumer, policy.Consumer, policy.Merchant, policy.Gateway}
	party := i % max(n/10, 1)
	role := roles[party%len(roles)]
	r := ca.Record{
		Serial: serial, Issuer: string(role), Profile: string(role), Party: fmt.Sprintf("party-%d", party), Role: role, SPKI: sha256.Sum256(seed[:]),
		NotBefore: Epoch, NotAfter: Epoch.Add(time.Duration(i) * (2 * 365 * 24 * time.Hour / time.Duration(max(n, 1)))).Truncate(time.Second),
		Requester: "local", Protocol: "token", DER: bytes.Clone(t.der),
	}
	copy(r.DER[t.serial:], serial[:])
	copy(r.DER[t.key:t.key+t.keySize], bytes.Repeat(seed[:], 2))
	// The names have a fixed width in the certificate, so they are right-aligned with zeros.
	copy(r.DER[t.dns:], fmt.Sprintf("%0*d", t.digits, party))
	copy(r.DER[t.uri:], fmt.Sprintf("%0*d", t.digits, party))
	in := ca.Intent{Serial: serial, Issuer: r.Issuer, Profile: r.Profile, Party: r.Party, NotAfter: r.NotAfter, At: Epoch}
	if err := store.Reserve(ctx, in); err != nil {
		return err
	}
	_, err := store.Issue(ctx, ca.Issuance{Record: r, Event: audit.Event{Time: Epoch, Kind: audit.CertificateIssued, Serial: serial.String()}})
	return err
}

// seedOf is where the octets of certificate i of n come from.
func seedOf(i, n int) [sha256.Size]byte {
	return sha256.Sum256(binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, uint64(n)), uint64(i)))
}

func serialOf(seed [sha256.Size]byte) (serial ca.Serial) {
	copy(serial[:], seed[:])
	serial[0] = serial[0]&0x3f | 0x40 // positive, and of full length
	return serial
}
