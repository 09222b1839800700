package ca

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	stdasn1 "encoding/asn1"
	"fmt"
	"math/big"
	mrand "math/rand/v2"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"testing"
	"time"

	"github.com/payca/payca/policy"
)

// template writes a decision as crypto/x509 wants it. Nothing in it comes from anywhere else.
func template(d *policy.Decision, statusURL string, shard int) (*x509.Certificate, error) {
	subject, err := stdasn1.Marshal(d.Subject)
	if err != nil {
		return nil, fmt.Errorf("encoding the subject: %w", err)
	}
	keyID, err := keyIdentifier(d.RawSPKI)
	if err != nil {
		return nil, err
	}
	t := &x509.Certificate{
		RawSubject:            subject,
		NotBefore:             d.NotBefore,
		NotAfter:              d.NotAfter,
		KeyUsage:              d.KeyUsage,
		ExtKeyUsage:           d.ExtKeyUsage,
		UnknownExtKeyUsage:    d.UnknownExtKeyUsage,
		Policies:              d.Policies,
		ExtraExtensions:       slices.Clone(d.Extensions),
		BasicConstraintsValid: true,
		SubjectKeyId:          keyID,
		URIs:                  d.URIs,
		DNSNames:              d.DNSNames,
	}
	for _, addr := range d.Addresses {
		t.IPAddresses = append(t.IPAddresses, net.IP(addr.AsSlice()))
	}
	if d.StatusURLs {
		t.OCSPServer = []string{statusURL + "/ocsp/" + d.IssuerName}
		t.IssuingCertificateURL = []string{statusURL + "/ca/" + d.IssuerName + ".crt"}
		t.CRLDistributionPoints = []string{crlURL(statusURL, d.IssuerName, shard)}
	}
	if d.OCSPNoCheck { // RFC 6960 section 4.2.2.2.1
		t.ExtraExtensions = append(t.ExtraExtensions, pkix.Extension{
			Id: stdasn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 48, 1, 5}, Value: stdasn1.NullBytes,
		})
	}
	return t, nil
}

// x509TBS is what crypto/x509 makes of a decision.
func x509TBS(t *testing.T, d *policy.Decision, parent *x509.Certificate, key crypto.Signer, intent Intent) []byte {
	t.Helper()
	tpl, err := template(d, "http://status.example", intent.Shard)
	if err != nil {
		t.Fatal(err)
	}
	tpl.SerialNumber = intent.Serial.Int()
	if tpl.SignatureAlgorithm, _, err = signatureAlgorithm(key.Public()); err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificate(rand.Reader, tpl, parent, d.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return c.RawTBSCertificate
}

// signers has a key of each kind that an issuing CA may have.
func signers(t *testing.T) map[string]crypto.Signer {
	t.Helper()
	must := func(key crypto.Signer, err error) crypto.Signer {
		if err != nil {
			t.Fatal(err)
		}
		return key
	}
	p256, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	p384, err2 := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	rsa3072, err3 := rsa.GenerateKey(rand.Reader, 3072)
	_, ed, err4 := ed25519.GenerateKey(rand.Reader)
	return map[string]crypto.Signer{"P-256": must(p256, err), "P-384": must(p384, err2), "RSA-3072": must(rsa3072, err3), "Ed25519": must(ed, err4)}
}

// issuerOf makes an issuing CA with the key, and the template that crypto/x509 wants of it.
func issuerOf(t *testing.T, key crypto.Signer) *issuer {
	t.Helper()
	tpl := &x509.Certificate{
		SerialNumber: big.NewInt(7), Subject: pkix.Name{Organization: []string{"Réseau"}, CommonName: "merchant CA"},
		SubjectKeyId: []byte("12345678901234567890"), NotAfter: time.Now().AddDate(1, 0, 0), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, tpl, tpl, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	is, err := newIssuer(Issuer{Name: "merchant", Certificate: c, Signer: key})
	if err != nil {
		t.Fatal(err)
	}
	return is
}

// A lottery draws decisions.
type lottery struct {
	*mrand.Rand
	keys []crypto.Signer
}

func (l lottery) text() string {
	texts := []string{"Acme Computers", "O'Neill (Sons), Ltd. + Co: a/b=c?", "Müller & Söhne", "支付网络", "a*b", "x@y", "", "under_score", string(slices.Repeat([]byte("long "), 30))}
	return texts[l.IntN(len(texts))]
}

func (l lottery) decision(t *testing.T) (*policy.Decision, Intent) {
	t.Helper()
	key := l.keys[l.IntN(len(l.keys))].Public()
	spki, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		t.Fatal(err)
	}
	d := &policy.Decision{
		IssuerName: "merchant", PublicKey: key, RawSPKI: spki, StatusURLs: l.IntN(2) == 0, OCSPNoCheck: l.IntN(3) == 0,
		KeyUsage: x509.KeyUsage(l.IntN(1 << 9)), NotBefore: l.date(), NotAfter: l.date(),
	}
	for _, id := range []stdasn1.ObjectIdentifier{{2, 5, 4, 10}, {2, 5, 4, 11}, {2, 5, 4, 3}} {
		if l.IntN(4) > 0 {
			d.Subject = append(d.Subject, []pkix.AttributeTypeAndValue{{Type: id, Value: l.text()}})
		}
	}
	for i := range l.IntN(3) {
		d.DNSNames = append(d.DNSNames, fmt.Sprintf("shop%d.example", i))
		d.ExtKeyUsage = append(d.ExtKeyUsage, x509.ExtKeyUsage(l.IntN(14)))
		d.UnknownExtKeyUsage = append(d.UnknownExtKeyUsage, stdasn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 65535, i + 128})
		id, err := x509.OIDFromInts([]uint64{2, 999, uint64(l.IntN(1 << 30))})
		if err != nil {
			t.Fatal(err)
		}
		d.Policies = append(d.Policies, id)
		d.Extensions = append(d.Extensions, pkix.Extension{Id: stdasn1.ObjectIdentifier{1, 2, 3, i}, Critical: i == 1, Value: make([]byte, 2+l.IntN(300))})
	}
	if l.IntN(2) == 0 {
		d.Addresses = []netip.Addr{netip.MustParseAddr("192.0.2.7"), netip.MustParseAddr("2001:db8::7")}
		d.URIs = []*url.URL{{Scheme: "spiffe", Host: "merchant.pay.example", Path: "/shop1"}}
	}
	var serial Serial
	for i := range serial {
		serial[i] = byte(l.IntN(256))
	}
	serial[0] &= 0x7f
	if l.IntN(4) == 0 {
		copy(serial[:], make([]byte, 12)) // short ones
	}
	serial[len(serial)-1] |= 1
	return d, Intent{Serial: serial, Shard: l.IntN(3) * 64}
}

func (l lottery) date() time.Time {
	return time.Date(2025+l.IntN(50), time.Month(1+l.IntN(12)), 1+l.IntN(28), l.IntN(24), l.IntN(60), l.IntN(60), 0, time.UTC)
}

// The oracle is crypto/x509: whatever is decided, and whoever signs, both encode the same octets.
func TestWhatIsSignedIsWhatCryptoX509WouldSign(t *testing.T) {
	t.Parallel()
	a := &Authority{cfg: Config{StatusURL: "http://status.example"}}
	keys := signers(t)
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	l := lottery{mrand.New(mrand.NewPCG(seed, 0)), nil}
	for _, name := range []string{"Ed25519", "P-256", "P-384", "RSA-3072"} {
		l.keys = append(l.keys, keys[name])
	}
	for name, key := range keys {
		is, draws := issuerOf(t, key), 100
		if name == "RSA-3072" {
			draws = 10 // slow to sign
		}
		for range draws {
			d, intent := l.decision(t)
			got, err := a.tbsCertificate(d, is, intent)
			if err != nil {
				t.Fatalf("%s, %+v: %v", name, d, err)
			}
			if want := x509TBS(t, d, is.cert, key, intent); !bytes.Equal(got, want) {
				t.Fatalf("%s, %+v:\n got %x\nwant %x", name, d, got, want)
			}
		}
	}
}

func TestWhatCannotBeEncodedIsRefused(t *testing.T) {
	t.Parallel()
	keys := signers(t)
	is := issuerOf(t, keys["P-256"])
	a := &Authority{cfg: Config{StatusURL: "http://status.example"}}
	for name, spoil := range map[string]func(*policy.Decision){
		"a DNS name that is not ASCII":           func(d *policy.Decision) { d.DNSNames = []string{"shöp.example"} },
		"a part of the subject that is a number": func(d *policy.Decision) { d.Subject[0][0].Value = 1 },
		"a part of the subject with two values":  func(d *policy.Decision) { d.Subject[0] = append(d.Subject[0], d.Subject[0][0]) },
		"a key that is none":                     func(d *policy.Decision) { d.RawSPKI = []byte{0x30, 0} },
		"an identifier that is none":             func(d *policy.Decision) { d.UnknownExtKeyUsage = []stdasn1.ObjectIdentifier{{9}} },
	} {
		l := lottery{mrand.New(mrand.NewPCG(1, 2)), []crypto.Signer{keys["P-256"]}}
		d, intent := l.decision(t)
		d.Subject = pkix.RDNSequence{{{Type: stdasn1.ObjectIdentifier{2, 5, 4, 3}, Value: "shop1"}}}
		spoil(d)
		if tbs, err := a.tbsCertificate(d, is, intent); err == nil {
			t.Errorf("%s: got %x, want an error", name, tbs)
		}
	}
}
