package policy_test

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/payca/payca/policy"
)

func uris(t *testing.T, texts ...string) func(*x509.Certificate) {
	return func(c *x509.Certificate) {
		c.URIs = nil
		for _, text := range texts {
			c.URIs = append(c.URIs, mustURL(t, text))
		}
	}
}

// rawURI puts the text into the certificate as it is: url.URL would tidy it.
func rawURI(t *testing.T, text string) func(*x509.Certificate) {
	value, err := asn1.Marshal([]asn1.RawValue{{Class: asn1.ClassContextSpecific, Tag: 6, Bytes: []byte(text)}})
	if err != nil {
		t.Fatal(err)
	}
	return func(c *x509.Certificate) {
		c.URIs = nil
		c.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 17}, Value: value}}
	}
}

func TestIdentifyRefusesMisissuedCertificates(t *testing.T) {
	t.Parallel()
	p := newPKI(t)
	const m = "spiffe://merchant." + network + "/shop1"
	for _, tt := range []struct {
		name, ca string
		change   func(*x509.Certificate)
		rule     string
	}{
		{"no URI and the DNS name gateway.NET", policy.MerchantCA, func(c *x509.Certificate) {
			c.URIs, c.DNSNames = nil, []string{"gateway." + network}
		}, "uri-single"},
		{"no URI and a DNS name that the constraints permit", policy.MerchantCA, func(c *x509.Certificate) {
			c.URIs, c.DNSNames = nil, []string{"gateway.test"}
		}, "uri-single"},
		{"the URI host gateway.merchant.NET", policy.MerchantCA, uris(t, "spiffe://gateway.merchant."+network+"/gw1"), "role-known"},
		{"two URIs", policy.MerchantCA, uris(t, m, m+"2"), "uri-single"},
		{"the same URI twice", policy.MerchantCA, uris(t, m, m), "uri-single"},
		{"userinfo", policy.MerchantCA, uris(t, "spiffe://gateway@merchant."+network+"/shop1"), "uri-form"},
		{"empty userinfo", policy.MerchantCA, rawURI(t, "spiffe://@merchant."+network+"/shop1"), "uri-form"},
		{"a port", policy.MerchantCA, uris(t, "spiffe://merchant."+network+":443/shop1"), "uri-form"},
		{"a query", policy.MerchantCA, uris(t, m+"?a=b"), "uri-form"},
		{"an empty query", policy.MerchantCA, rawURI(t, m+"?"), "uri-form"},
		{"a fragment", policy.MerchantCA, uris(t, m+"#a"), "uri-form"},
		{"an empty fragment", policy.MerchantCA, rawURI(t, m+"#"), "uri-form"},
		{"a trailing slash", policy.MerchantCA, uris(t, m+"/"), "uri-form"},
		{"a second path segment", policy.MerchantCA, uris(t, m+"/x"), "uri-form"},
		{"no path", policy.MerchantCA, uris(t, "spiffe://merchant."+network), "uri-form"},
		{"an escaped letter", policy.MerchantCA, rawURI(t, "spiffe://merchant."+network+"/%73hop1"), "uri-form"},
		{"an upper-case scheme", policy.MerchantCA, rawURI(t, "SPIFFE://merchant."+network+"/shop1"), "uri-form"},
		{"an upper-case host", policy.MerchantCA, rawURI(t, "spiffe://Merchant."+network+"/shop1"), "role-known"},
		{"another scheme", policy.MerchantCA, uris(t, "https://merchant."+network+"/shop1"), "uri-form"},
		{"an upper-case party", policy.MerchantCA, uris(t, "spiffe://merchant."+network+"/Shop1"), "uri-form"},
		{"the party of the network itself", policy.MerchantCA, uris(t, "spiffe://merchant."+network+"/ca"), "uri-form"},
		{"another network", policy.MerchantCA, uris(t, "spiffe://merchant.other.example/shop1"), "uri-form"},
		{"a role of another CA", policy.MerchantCA, uris(t, "spiffe://gateway."+network+"/gw1"), "role-issuer"},
		{"a merchant from the bank CA", policy.BankCA, nil, "role-issuer"},
		{"another role as OU", policy.MerchantCA, func(c *x509.Certificate) {
			c.Subject.OrganizationalUnit = []string{"gateway"}
		}, "role-ou"},
		{"a second OU", policy.MerchantCA, func(c *x509.Certificate) {
			c.Subject.OrganizationalUnit = []string{"merchant", "gateway"}
		}, "role-ou"},
		{"keyCertSign", policy.MerchantCA, func(c *x509.Certificate) {
			c.KeyUsage |= x509.KeyUsageCertSign
		}, "leaf-ca"},
		{"CA:TRUE", policy.MerchantCA, func(c *x509.Certificate) { c.IsCA = true }, "leaf-ca"},
		{"an end in the past", policy.MerchantCA, func(c *x509.Certificate) { c.NotAfter = now.Add(-time.Second) }, "validity"},
		{"a start in the future", policy.MerchantCA, func(c *x509.Certificate) { c.NotBefore = now.Add(time.Second) }, "validity"},
		{"51 a client certificate as server", policy.MerchantCA, func(c *x509.Certificate) {
			c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
		}, "eku"},
		{"no extended key usage", policy.MerchantCA, func(c *x509.Certificate) { c.ExtKeyUsage = nil }, "eku"},
		{"any extended key usage", policy.MerchantCA, func(c *x509.Certificate) {
			c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageAny}
		}, "eku"},
		{"keyAgreement in place of digitalSignature", policy.MerchantCA, func(c *x509.Certificate) {
			c.KeyUsage = x509.KeyUsageKeyAgreement
		}, "eku"},
		{"55 a critical unknown extension", policy.MerchantCA, func(c *x509.Certificate) {
			c.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{1, 2, 3}, Critical: true, Value: []byte{5, 0}}}
		}, "chain"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			peer, err := p.trust().Identify(p.leaf(t, tt.ca, tt.change), policy.ServerUse, now)
			if err == nil {
				t.Fatalf("got %v, want a refusal", peer.Identity)
			}
			wantRules(t, err, tt.rule)
		})
	}
}

func TestIdentifyRefusesWrongUses(t *testing.T) {
	t.Parallel()
	p := newPKI(t)
	encryption := func(c *x509.Certificate) { c.KeyUsage, c.ExtKeyUsage = x509.KeyUsageKeyAgreement, nil }
	server := func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} }
	both := func(c *x509.Certificate) { encryption(c); c.KeyUsage |= x509.KeyUsageDigitalSignature }
	agreeing := func(c *x509.Certificate) { server(c); c.KeyUsage = x509.KeyUsageKeyAgreement }
	unknown := func(c *x509.Certificate) { encryption(c); c.UnknownExtKeyUsage = []asn1.ObjectIdentifier{oidNone} }
	for _, tt := range []struct {
		name   string
		change func(*x509.Certificate)
		use    policy.Use
		ok     bool
	}{
		{"51 a server certificate as client", server, policy.ClientUse, false},
		{"a server certificate as server", server, policy.ServerUse, true},
		{"a server certificate for any use", server, policy.AnyUse, true},
		{"a server certificate for encryption", server, policy.EncryptionUse, false},
		{"an encryption certificate for encryption", encryption, policy.EncryptionUse, true},
		{"a key that signs and agrees for encryption", both, policy.EncryptionUse, false},
		{"a key that agrees for TLS servers for encryption", agreeing, policy.EncryptionUse, false},
		{"a key of unknown use for encryption", unknown, policy.EncryptionUse, false},
		{"an encryption certificate as client", encryption, policy.ClientUse, false},
		{"an encryption certificate as server", encryption, policy.ServerUse, false},
		{"an unknown use", server, policy.Use(9), false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := p.trust().Identify(p.leaf(t, policy.MerchantCA, tt.change), tt.use, now)
			if tt.ok && err != nil {
				t.Errorf("got %v, want no error", err)
			} else if !tt.ok {
				wantRules(t, err, "eku")
			}
		})
	}
}

func TestIdentifySaysWhichCAIssuedAndWhichShouldHave(t *testing.T) {
	t.Parallel()
	p := newPKI(t)
	gateway := uris(t, "spiffe://gateway."+network+"/gw1")
	unconstrained := caTemplate("merchant")
	unconstrained.PermittedURIDomains, unconstrained.ExcludedDNSDomains = nil, nil
	p.cas["unconstrained"] = sign(t, p.root, unconstrained)
	for _, tt := range []struct{ name, ca, got string }{
		{"where the name constraint refuses too", policy.MerchantCA, "issued by merchant CA"},
		{"where no constraint stands in the way", "unconstrained", `issued by a CA that serves no role ("merchant CA")`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := p.trust().Identify(p.leaf(t, tt.ca, gateway), policy.ClientUse, now)
			vs := policy.ViolationsOf(err)
			if len(vs) != 1 || vs[0].Rule != "role-issuer" || vs[0].Got != tt.got || vs[0].Want != "gateway CA" {
				t.Errorf("got %v, want role-issuer, %q and gateway CA", err, tt.got)
			}
		})
	}
}

func TestIdentifyRefusesChainsThatAreNotLeafIssuerRoot(t *testing.T) {
	t.Parallel()
	p, other := newPKI(t), newPKI(t)
	good := p.leaf(t, policy.MerchantCA, nil)
	direct := pki{cas: map[string]authority{"root": p.root}}.leaf(t, "root", nil)
	deep := caTemplate(policy.MerchantCA)
	deep.MaxPathLenZero = false
	longRoot := sign(t, authority{}, &x509.Certificate{
		Subject: pkix.Name{CommonName: "long root"}, NotBefore: now.Add(-time.Hour), NotAfter: now.AddDate(1, 0, 0),
		IsCA: true, BasicConstraintsValid: true, MaxPathLen: -1, KeyUsage: x509.KeyUsageCertSign,
	})
	middle := sign(t, longRoot, deep)
	long := pki{cas: map[string]authority{"sub": sign(t, middle, caTemplate(policy.MerchantCA))}}.leaf(t, "sub", nil)
	leafAsCA := authority{cert: good[0], key: newKey(t)}
	expired := caTemplate(policy.MerchantCA)
	expired.NotAfter = now.Add(-time.Minute)
	old := pki{cas: map[string]authority{"old": sign(t, p.root, expired)}}.leaf(t, "old", nil)
	serversOnly := caTemplate(policy.MerchantCA)
	serversOnly.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	nested := pki{cas: map[string]authority{"servers": sign(t, p.root, serversOnly)}}.leaf(t, "servers", nil)
	trust := p.trust()
	trust.Roots = append(trust.Roots, longRoot.cert)
	for _, tt := range []struct {
		name      string
		presented []*x509.Certificate
		rule      string
	}{
		{"nothing", nil, "chain"},
		{"no certificate in the list", []*x509.Certificate{nil}, "chain"},
		{"no issuer", good[:1], "chain"},
		{"a CA as leaf", p.leaf(t, policy.MerchantCA, nil)[1:], "leaf-ca"},
		{"the root as leaf", []*x509.Certificate{p.root.cert}, "leaf-ca"},
		{"a leaf of the root itself", direct, "chain"},
		{"a chain of four", append(long, middle.cert), "chain"},
		{"another network's root", other.leaf(t, policy.MerchantCA, nil), "chain"},
		{"an expired issuing CA", old, "validity"},
		{"56 a chain of 10,000", append(good, slices.Repeat([]*x509.Certificate{p.root.cert}, 9_998)...), "chain"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := trust.Identify(tt.presented, policy.AnyUse, now)
			wantRules(t, err, tt.rule)
		})
	}
	t.Run("52 a leaf used as CA", func(t *testing.T) {
		t.Parallel()
		bad := pki{cas: map[string]authority{"leaf": leafAsCA}}
		bad.cas["leaf"] = sign(t, p.cas[policy.MerchantCA], &x509.Certificate{
			Subject: good[0].Subject, NotBefore: now.Add(-time.Hour), NotAfter: now.AddDate(0, 1, 0),
			URIs: good[0].URIs, KeyUsage: x509.KeyUsageDigitalSignature,
		})
		chain := append(bad.leaf(t, "leaf", nil), p.cas[policy.MerchantCA].cert)
		_, err := trust.Identify(chain, policy.AnyUse, now)
		wantRules(t, err, "chain")
	})
	t.Run("an issuing CA for servers only under a client", func(t *testing.T) {
		t.Parallel()
		_, err := trust.Identify(nested, policy.ClientUse, now)
		wantRules(t, err, "chain")
		if _, err := trust.Identify(nested, policy.ServerUse, now); err != nil {
			t.Errorf("got %v for a server, want no error", err)
		}
	})
	t.Run("no time", func(t *testing.T) {
		t.Parallel()
		_, err := trust.Identify(good, policy.AnyUse, time.Time{})
		wantRules(t, err, "validity")
		if vs := policy.ViolationsOf(err); len(vs) != 1 || vs[0].Got != "not given" {
			t.Errorf("got %v, want a refusal to take the present instead", err)
		}
	})
	t.Run("no roots", func(t *testing.T) {
		t.Parallel()
		_, err := policy.Trust{Network: network}.Identify(good, policy.AnyUse, now)
		wantRules(t, err, "chain")
	})
}

func TestIdentifyKnowsIssuersThatWereNotPresented(t *testing.T) {
	t.Parallel()
	p := newPKI(t)
	alone := p.leaf(t, policy.MerchantCA, nil)[:1]
	if _, err := p.trust().Identify(alone, policy.ClientUse, now); err == nil {
		t.Error("a leaf alone was accepted by who knows no issuer")
	}
	trust := p.trust()
	for _, is := range p.cas {
		trust.Issuers = append(trust.Issuers, is.cert)
	}
	if peer, err := trust.Identify(alone, policy.ClientUse, now); err != nil || len(peer.Chain) != 3 {
		t.Errorf("got %+v, %v, want the leaf, its issuer and the root", peer, err)
	}
}

func TestIdentifyFindsTheGoodPath(t *testing.T) {
	t.Parallel()
	p := newPKI(t)
	chain := p.leaf(t, policy.MerchantCA, func(c *x509.Certificate) { c.Subject.OrganizationalUnit = []string{"merchant"} })
	expired := caTemplate(policy.MerchantCA)
	expired.NotAfter = now.Add(-time.Minute)
	expired.SerialNumber = chain[1].SerialNumber
	twin := crossSign(t, p.root, expired, p.cas[policy.MerchantCA])
	for _, tt := range []struct {
		name      string
		presented []*x509.Certificate
	}{
		{"without root", chain},
		{"with root", append(chain[:2:2], p.root.cert)},
		{"53 with an expired issuer before the valid one", []*x509.Certificate{chain[0], twin, chain[1]}},
		{"with a stranger among them", []*x509.Certificate{chain[0], p.cas[policy.BankCA].cert, chain[1]}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			peer, err := p.trust().Identify(tt.presented, policy.ClientUse, now)
			if err != nil {
				t.Fatal(err)
			}
			want := policy.Identity{Network: network, Role: policy.Merchant, Party: "shop1"}
			if peer.Identity != want || !peer.Leaf.Equal(chain[0]) || !peer.Issuer.Equal(chain[1]) ||
				len(peer.Chain) != 3 || !peer.Chain[2].Equal(p.root.cert) {
				t.Errorf("got %v by %v, want %v", peer.Identity, peer.Issuer.Subject, want)
			}
		})
	}
}

// crossSign issues the template for the key that ca has.
func crossSign(t *testing.T, by authority, tmpl *x509.Certificate, ca authority) *x509.Certificate {
	t.Helper()
	der, err := x509.CreateCertificate(nil, tmpl, by.cert, ca.key.Public(), by.key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

func TestRefusalOfALongNameStaysShort(t *testing.T) {
	t.Parallel()
	p := newPKI(t)
	chain := p.leaf(t, policy.MerchantCA, func(c *x509.Certificate) {
		c.URIs = []*url.URL{{Scheme: "spiffe", Host: "merchant." + network, Path: "/" + strings.Repeat("a", 50_000)}}
	})
	_, err := p.trust().Identify(chain, policy.AnyUse, now)
	wantRules(t, err, "uri-form")
	if len(err.Error()) > 400 {
		t.Errorf("got a message of %d octets, want at most 400", len(err.Error()))
	}
}
