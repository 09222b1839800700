package lint_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"math/big"
	rand2 "math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/payca/payca/ca"
	"github.com/payca/payca/ca/lint"
)

// sibling changes what certificates that are alike may differ in.
func sibling(c *x509.Certificate) *x509.Certificate {
	c.SerialNumber.SetBytes(append([]byte{0x40}, octets(c.SerialNumber)[1:]...))
	c.SubjectKeyId = bytes.Repeat([]byte{0xfe}, len(c.SubjectKeyId))
	c.NotBefore, c.NotAfter = c.NotBefore.Add(7*time.Hour+11*time.Second), c.NotAfter.Add(7*time.Hour+11*time.Second)
	return c
}

// octets are those of a number, drawn anew.
func octets(n *big.Int) []byte {
	drawn := make([]byte, len(n.Bytes()))
	rand.Read(drawn)
	return drawn
}

func likeness(t *testing.T, c *x509.Certificate) [32]byte {
	t.Helper()
	sum, ok := lint.LikenessOf(c)
	if !ok {
		t.Fatal("the certificate is like nothing")
	}
	return sum
}

func TestZlintSaysTheSameOfWhatIsAlike(t *testing.T) {
	t.Parallel()
	z, err := lint.NewZlint(100)
	if err != nil {
		t.Fatal(err)
	}
	bad := func(change func(c *x509.Certificate)) func() *x509.Certificate {
		return func() *x509.Certificate { c := merchant(); change(c); return c }
	}
	for name, template := range map[string]func() *x509.Certificate{
		"merchant": merchant, "encryption": encryption, "OCSP signer": responder, "client": client, "signer": signer, "stapled": stapled,
		"long name":    bad(func(c *x509.Certificate) { c.Subject.CommonName = strings.Repeat("x", 65) }),
		"long label":   bad(func(c *x509.Certificate) { c.DNSNames = []string{strings.Repeat("x", 64) + ".test"} }),
		"wildcard":     bad(func(c *x509.Certificate) { c.DNSNames = []string{"a.*.test"} }),
		"without CRL":  bad(func(c *x509.Certificate) { c.CRLDistributionPoints = nil }),
		"short serial": bad(func(c *x509.Certificate) { c.SerialNumber = big.NewInt(4711) }),
		"long serial":  bad(func(c *x509.Certificate) { c.SerialNumber = new(big.Int).Lsh(big.NewInt(0x70), 160) }),
		"a day":        bad(func(c *x509.Certificate) { c.NotAfter = c.NotBefore.AddDate(0, 0, 1) }),
		"backwards":    bad(func(c *x509.Certificate) { c.NotAfter = c.NotBefore.Add(-time.Second) }),
		"CA":           bad(func(c *x509.Certificate) { c.IsCA = true }),
	} {
		first := sign(t, template())
		want, err := z.Run(first)
		if err != nil {
			t.Fatal(err)
		}
		for range 8 {
			next := sign(t, sibling(template()))
			if likeness(t, next) != likeness(t, first) {
				t.Fatalf("%s: not alike", name)
			}
			if got, err := z.Run(next); err != nil || !slices.Equal(rules(got), rules(want)) {
				t.Errorf("%s: got %v, %v of one that is alike, want %v", name, got, err, want)
			}
		}
	}
}

// Names differ at random, within what is plain.
func TestZlintHasNothingAgainstPlainNames(t *testing.T) {
	t.Parallel()
	z, err := lint.NewZlint(-1)
	if err != nil {
		t.Fatal(err)
	}
	letters := "abcdefghijklmnopqrstuvwxyz0123456789"
	word := func(alphabet string, most int) string {
		text := make([]byte, 1+rand2.IntN(most))
		for i := range text {
			text[i] = alphabet[rand2.IntN(len(alphabet))]
		}
		return string(text)
	}
	text := func() string {
		return word(letters, 20) + []string{"", " ", "-", "--", "  "}[rand2.IntN(5)] + word(letters+strings.ToUpper(letters), 40)
	}
	label := func() string { return word(letters, 10) + []string{"", "-"}[rand2.IntN(2)] + word(letters, 4) }
	domain := func() string { return label() + "." + label() + "." + label() }
	want := map[string][32]byte{}
	for i := range 300 {
		for name, template := range map[string]*x509.Certificate{"merchant": merchant(), "encryption": encryption(), "client": client(), "signer": signer()} {
			template.Subject.CommonName, template.Subject.Organization, template.Subject.OrganizationalUnit = text(), []string{text()}, []string{text()}
			template.URIs[0].Host, template.URIs[0].Path = domain(), "/"+label()+[]string{"", "."}[rand2.IntN(2)]+label()
			if template.DNSNames != nil {
				template.DNSNames = []string{domain(), domain()}
			}
			c := sign(t, template)
			if i == 0 {
				want[name] = likeness(t, c)
			} else if likeness(t, c) != want[name] {
				t.Fatalf("%v, %v, %v are not taken for plain", c.Subject, c.DNSNames, c.URIs)
			}
			if findings, err := z.Run(c); err != nil || findings != nil {
				t.Fatalf("%v, %v, %v: %v, %v, want nothing against plain names", c.Subject, c.DNSNames, c.URIs, findings, err)
			}
		}
	}
}

func TestWhichNamesAreNotPlain(t *testing.T) {
	t.Parallel()
	want := likeness(t, sign(t, client()))
	for _, name := range []string{
		"Acme, Inc.", "Müller", "a_b", "-a", "a-", " a", "a ", "*", "a.b", strings.Repeat("x", 64), "a\x00b", "a@b", "xn--a\u00fc",
	} {
		for _, change := range []func(c *x509.Certificate){
			func(c *x509.Certificate) { c.Subject.CommonName = name },
			func(c *x509.Certificate) { c.Subject.Organization = []string{name} },
			func(c *x509.Certificate) { c.Subject.OrganizationalUnit = []string{name} },
		} {
			c := client()
			change(c)
			if likeness(t, sign(t, c)) == want {
				t.Errorf("%q is taken for plain", name)
			}
		}
	}
	for _, change := range []func(c *x509.Certificate){
		func(c *x509.Certificate) { c.Subject.Country = []string{"DE"} },
		func(c *x509.Certificate) { c.Subject.SerialNumber = "1" },
		func(c *x509.Certificate) { c.Subject.OrganizationalUnit = []string{"merchant", "other"} },
		func(c *x509.Certificate) { c.URIs[0].Scheme = "https" },
		func(c *x509.Certificate) { c.URIs[0].Path = "/a/b" },
		func(c *x509.Certificate) { c.URIs[0].Host = "one" },
		func(c *x509.Certificate) { c.URIs = append(c.URIs, c.URIs[0]) },
	} {
		c := client()
		change(c)
		if likeness(t, sign(t, c)) == want {
			t.Errorf("%v, %v are taken for plain", c.Subject, c.URIs)
		}
	}
	two := merchant()
	two.DNSNames = []string{"a.test", "b.test"}
	want = likeness(t, sign(t, two))
	for _, name := range []string{"a.test", "A.test", "*.a.test", "a..test", "-a.test", "a-.test", "xn--a.test", "a_b.test", "localhost", ".a.test", "a b.test", strings.Repeat("x", 64) + ".test", "?.a.test"} {
		two.DNSNames[1] = name
		if likeness(t, sign(t, two)) == want {
			t.Errorf("%q beside a.test is taken for plain", name)
		}
	}
}

func rules(findings lint.Findings) (names []string) {
	for _, f := range findings {
		names = append(names, f.Rule)
	}
	return names
}

func TestOnlyWhatPassedIsRemembered(t *testing.T) {
	t.Parallel()
	z, err := lint.NewZlint(2)
	if err != nil {
		t.Fatal(err)
	}
	judge := func(template *x509.Certificate, findings bool, remembered int) {
		t.Helper()
		got, err := z.Judge(sign(t, template))
		if err != nil || (got != nil) != findings || z.Remembered() != remembered {
			t.Errorf("got %v, %v with %d remembered, want findings: %t, with %d", got, err, z.Remembered(), findings, remembered)
		}
	}
	wildcard := merchant()
	wildcard.DNSNames = []string{"a.*.test"}
	for range 2 {
		judge(wildcard, true, 0)
	}
	judge(merchant(), false, 1)
	judge(sibling(merchant()), false, 1)
	judge(encryption(), false, 2)
	judge(client(), false, 1) // it was full
	judge(wildcard, true, 1)
	if z, err = lint.NewZlint(-1); err != nil {
		t.Fatal(err)
	}
	judge(merchant(), false, 0)
}

func TestWhatElseDiffersIsNotAlike(t *testing.T) {
	t.Parallel()
	key := p256(t)
	c := certify(t, merchant(), key)
	want := likeness(t, c)
	point, err := key.PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	free := map[int]bool{} // octets in which certificates that are alike may differ
	parts := [][]byte{c.SerialNumber.Bytes(), point[1:], c.SubjectKeyId, append([]byte{0}, c.Signature...)}
	for _, name := range append([]string{"Acme Computers", "shop1", "merchant.pay.example/shop1"}, c.DNSNames[0]) { // plain ones
		parts = append(parts, []byte(name))
	}
	for _, part := range parts {
		at := bytes.Index(c.Raw, part)
		for i := range part {
			free[at+i] = true
		}
	}
	at := bytes.Index(c.RawSubject, []byte("merchant")) + bytes.Index(c.Raw, c.RawSubject) // the organizational unit
	for i := range len("merchant") {
		free[at+i] = true
	}
	same, parsed := 0, 0
	for i := range c.Raw {
		for bit := range 8 {
			der := bytes.Clone(c.Raw)
			der[i] ^= 1 << bit
			changed, err := x509.ParseCertificate(der)
			if err != nil {
				continue
			}
			parsed++
			if sum, ok := lint.LikenessOf(changed); !ok || sum != want {
				continue
			}
			same++
			if !free[i] {
				t.Errorf("alike after bit %d of octet %d changed", bit, i)
			}
		}
	}
	if same == 0 || parsed == same {
		t.Errorf("%d of %d changed certificates are alike, want some and not all", same, parsed)
	}
}

func TestWhatIsLikeNothing(t *testing.T) {
	t.Parallel()
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := lint.LikenessOf(certify(t, merchant(), rsaKey)); ok {
		t.Error("a certificate with an RSA key, of which zlint looks at the number")
	}
	_, edKey, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[[32]byte]string{}
	for name, key := range map[string]crypto.Signer{"P-256": p256(t), "P-384": p384, "Ed25519": edKey} {
		sum := likeness(t, certify(t, merchant(), key))
		if other, ok := seen[sum]; ok {
			t.Errorf("%s is like %s", name, other)
		}
		seen[sum] = name
	}
	if _, ok := lint.LikenessOf(&x509.Certificate{PublicKeyAlgorithm: x509.ECDSA, Raw: []byte{0x30, 0}}); ok {
		t.Error("what is no certificate is like something")
	}
}

// Our own lints look at each certificate, also where zlint's verdict is remembered.
func TestOurOwnLintsForgetNothing(t *testing.T) {
	t.Parallel()
	linter := newLinter(t)
	for range 2 {
		if err := linter(sign(t, merchant())); err != nil {
			t.Fatal(err)
		}
		tight := merchant()
		tight.Subject.CommonName = "shop2"
		err := linter(sign(t, tight))
		if faults := ca.FaultsOf(err); !slices.ContainsFunc(faults, func(f ca.Fault) bool { return f.Rule == "payca_role_subject" }) {
			t.Errorf("got %v, want payca_role_subject", err)
		}
	}
}
