package catest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/payca/payca/ca"
	"github.com/payca/payca/policy"
)

// A forger makes the certificates of [Hostile].
type forger struct {
	t       testing.TB
	issuers []ca.Issuer
	own     ca.Issuer // that of the victim's role
	victim  tls.Certificate
	id      policy.Identity
}

// Hostile returns certificates with their keys that no relying party may take for the victim, or for anybody, by what is
// wrong with each: as if the keys of all issuing CAs of the network were stolen, except that nothing of it was
// ever issued. The victim's own certificate is leaf first, with its key; a victim's key signs one of them.
func Hostile(t testing.TB, issuers []ca.Issuer, victim tls.Certificate) map[string]tls.Certificate {
	t.Helper()
	leaf, err := x509.ParseCertificate(victim.Certificate[0])
	must(t, err)
	host, _, _ := strings.Cut(strings.TrimPrefix(leaf.URIs[0].String(), "spiffe://"), "/")
	_, network, _ := strings.Cut(host, ".")
	id, err := policy.IdentityOf(leaf, network)
	must(t, err)
	victim.Leaf = leaf
	f := &forger{t: t, issuers: issuers, victim: victim, id: id}
	for _, is := range issuers {
		if is.Name == id.Role.CA() {
			f.own = is
		}
	}
	out := map[string]tls.Certificate{}
	f.uris(out)
	f.uses(out)
	f.signers(out)
	return out
}

// sign makes a certificate like the victim's, with another key and serial, changed.
func (f *forger) sign(by ca.Issuer, change func(*x509.Certificate)) tls.Certificate {
	f.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(f.t, err)
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 150))
	must(f.t, err)
	template := &x509.Certificate{
		SerialNumber: serial, Subject: f.victim.Leaf.Subject, URIs: f.victim.Leaf.URIs,
		NotBefore: time.Now().Add(-time.Minute), NotAfter: time.Now().Add(time.Hour), BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
		OCSPServer:  f.victim.Leaf.OCSPServer, CRLDistributionPoints: f.victim.Leaf.CRLDistributionPoints,
	}
	if change != nil {
		change(template)
	}
	parent, signer := by.Certificate, by.Signer
	if parent == nil {
		parent, signer = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	must(f.t, err)
	chain := [][]byte{der}
	if by.Certificate != nil {
		chain = append(chain, by.Certificate.Raw)
	}
	return tls.Certificate{Certificate: chain, PrivateKey: key}
}

// named makes a certificate with these texts as its URIs, byte for byte.
func (f *forger) named(texts ...string) tls.Certificate {
	f.t.Helper()
	var names []asn1.RawValue
	for _, text := range texts {
		names = append(names, asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 6, Bytes: []byte(text)})
	}
	value, err := asn1.Marshal(names)
	must(f.t, err)
	return f.sign(f.own, func(c *x509.Certificate) {
		c.URIs, c.ExtraExtensions = nil, []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 17}, Value: value}}
	})
}

// uris are the ways to carry an identity wrongly.
func (f *forger) uris(out map[string]tls.Certificate) {
	f.t.Helper()
	role, network, party := f.id.Role.Host(f.id.Network), f.id.Network, f.id.Party
	good := "spiffe://" + role + "/" + party
	other := policy.Gateway
	if f.id.Role.CA() == other.CA() {
		other = policy.Merchant
	}
	out["no URI"] = f.sign(f.own, func(c *x509.Certificate) { c.URIs = nil })
	out["no URI, and the DNS name of the role"] = f.sign(f.own, func(c *x509.Certificate) { c.URIs, c.DNSNames = nil, []string{role} })
	out["two URIs"] = f.named(good, good+"2")
	out["the URI twice"] = f.named(good, good)
	out["two URIs, the second of another role"] = f.named(good, "spiffe://"+other.Host(network)+"/"+party)
	for name, text := range map[string]string{
		"a host below that of the role": "spiffe://" + string(other) + "." + role + "/" + party, "a host below, with the role's name": "spiffe://" + string(f.id.Role) + "." + role + "/" + party,
		"another network": "spiffe://" + string(f.id.Role) + ".other.example/" + party, "another network below ours": "spiffe://" + string(f.id.Role) + ".x." + network + "/" + party,
		"a role that does not exist": "spiffe://thief." + network + "/" + party, "the network itself as host": "spiffe://" + network + "/" + party,
		"another role's host": "spiffe://" + other.Host(network) + "/" + party,
		"a user":              "spiffe://" + string(other) + "@" + role + "/" + party, "an empty user": "spiffe://@" + role + "/" + party,
		"a user that looks like a host": "spiffe://" + role + "@" + other.Host(network) + "/" + party,
		"a port":                        "spiffe://" + role + ":443/" + party, "an empty port": "spiffe://" + role + ":/" + party,
		"a host that ends with a dot": "spiffe://" + role + "./" + party, "a host in upper case": "spiffe://" + strings.ToUpper(role) + "/" + party,
		"a query": good + "?a=b", "an empty query": good + "?", "a fragment": good + "#a", "an empty fragment": good + "#",
		"a slash at the end": good + "/", "two slashes": "spiffe://" + role + "//" + party, "a second segment": good + "/x", "no path": "spiffe://" + role,
		"a path of a slash": "spiffe://" + role + "/", "a path that climbs": "spiffe://" + role + "/x/../" + party, "a dot as segment": "spiffe://" + role + "/./" + party,
		"an escaped letter": "spiffe://" + role + "/%" + "73" + party[1:], "an escaped slash": "spiffe://" + role + "/x%2f" + party, "an escaped zero": good + "%00",
		"a party in upper case": "spiffe://" + role + "/" + strings.ToUpper(party), "another scheme": "https://" + role + "/" + party,
		"a scheme in upper case": "SPIFFE://" + role + "/" + party, "no scheme": "//" + role + "/" + party, "a blank before": " " + good, "a line after": good + "\n",
	} {
		out[name] = f.named(text)
	}
}

// uses are certificates that are for something else, or at another time.
func (f *forger) uses(out map[string]tls.Certificate) {
	f.t.Helper()
	for name, change := range map[string]func(*x509.Certificate){
		"expired": func(c *x509.Certificate) {
			c.NotBefore, c.NotAfter = time.Now().Add(-2*time.Hour), time.Now().Add(-time.Minute)
		},
		"not yet valid":      func(c *x509.Certificate) { c.NotBefore = time.Now().Add(30 * time.Minute) },
		"CA:TRUE":            func(c *x509.Certificate) { c.IsCA = true; c.KeyUsage |= x509.KeyUsageCertSign },
		"keyCertSign":        func(c *x509.Certificate) { c.KeyUsage |= x509.KeyUsageCertSign },
		"encryption alone":   func(c *x509.Certificate) { c.KeyUsage, c.ExtKeyUsage = x509.KeyUsageKeyAgreement, nil },
		"no usage at all":    func(c *x509.Certificate) { c.KeyUsage, c.ExtKeyUsage = 0, nil },
		"any usage":          func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageAny} },
		"for OCSP":           func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageOCSPSigning} },
		"another role as OU": func(c *x509.Certificate) { c.Subject.OrganizationalUnit = []string{"operator", "auditor"} },
		"an unknown critical extension": func(c *x509.Certificate) {
			c.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{1, 2, 3}, Critical: true, Value: []byte{5, 0}}}
		},
	} {
		out[name] = f.sign(f.own, change)
	}
}

// signers are certificates that somebody else signed, or nobody ever asked for.
func (f *forger) signers(out map[string]tls.Certificate) {
	f.t.Helper()
	leaf := f.victim.Leaf
	for _, is := range f.issuers {
		if is.Name != f.own.Name {
			out["issued by the "+is.Name+" CA"] = f.sign(is, nil)
		}
	}
	same := func(c *x509.Certificate) {
		c.SerialNumber, c.NotBefore, c.NotAfter = leaf.SerialNumber, leaf.NotBefore, leaf.NotAfter
	}
	out["self-signed with the victim's serial"] = f.sign(ca.Issuer{}, func(c *x509.Certificate) { same(c); c.Issuer = leaf.Issuer })
	foreign, err := ca.Create(ca.CeremonyConfig{Network: f.id.Network, StatusURL: "http://status.example"})
	must(f.t, err)
	for _, is := range foreign.Issuers {
		if is.Name == f.own.Name {
			out["a network of the same name, with the victim's serial"] = f.sign(is, same)
			chained := f.sign(is, same)
			chained.Certificate = append(chained.Certificate, f.own.Certificate.Raw, foreign.Root.Raw)
			out["a network of the same name that brings its root"] = chained
		}
	}
	if key, ok := f.victim.PrivateKey.(crypto.Signer); ok {
		below := f.sign(ca.Issuer{Certificate: leaf, Signer: key}, nil)
		below.Certificate = append(below.Certificate, f.own.Certificate.Raw)
		out["issued by the victim itself (case 52)"] = below
	}
	out["the issuing CA itself"] = tls.Certificate{Certificate: [][]byte{f.own.Certificate.Raw}, PrivateKey: f.own.Signer}
	out["the victim's certificate behind another"] = func() tls.Certificate {
		c := f.sign(ca.Issuer{}, nil)
		c.Certificate = append(c.Certificate, f.victim.Certificate...)
		return c
	}()
	out["never issued"] = f.sign(f.own, nil)
}
