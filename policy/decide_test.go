package policy_test

import (
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"math/big"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/payca/payca/policy"
)

func profile(t testing.TB, name string) *policy.Profile {
	t.Helper()
	for _, cfg := range policy.DefaultProfiles() {
		if cfg.Name != name {
			continue
		}
		p, err := policy.NewProfile(cfg)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	t.Fatalf("no default profile %q", name)
	return nil
}

// goodRequest is one that Decide accepts, for a party of the role under the named profile.
func goodRequest(t testing.TB, p pki, role policy.Role, name string) policy.Request {
	t.Helper()
	party := policy.Party{
		ID: "shop1", Role: role, Name: "Acme Computers", State: policy.Active,
		DNSNames:  []string{"shop.test", "www.shop.test"},
		Addresses: []netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")},
	}
	if role == policy.Consumer {
		party.DNSNames, party.Addresses = nil, nil
	}
	return policy.Request{
		Network: network, Party: party, Profile: profile(t, name), CSR: parsed(t, x509.CertificateRequest{}),
		IssuerName: role.CA(), Issuer: p.cas[role.CA()].cert, Above: []*x509.Certificate{p.root.cert}, Now: now, Requester: "local", Protocol: "local",
	}
}

func TestDecideWritesNamesFromTheRegistry(t *testing.T) {
	t.Parallel()
	req := goodRequest(t, newPKI(t), policy.Merchant, "merchant")
	req.CSR = parsed(t, x509.CertificateRequest{
		Subject: pkix.Name{CommonName: "root", Organization: []string{"Other"}, OrganizationalUnit: []string{"gateway"}},
		URIs:    []*url.URL{mustURL(t, "spiffe://merchant.pay.example/shop1")},
		ExtraExtensions: []pkix.Extension{
			extension(t, oidKU, asn1.BitString{Bytes: []byte{0x20}, BitLength: 3}), // keyEncipherment
			extension(t, oidNone, "whatever"),
		},
	})
	d, err := policy.Decide(req)
	if err != nil {
		t.Fatal(err)
	}
	var name pkix.Name
	name.FillFromRDNSequence(&d.Subject)
	if got, want := d.Subject.String(), "CN=shop1,OU=merchant,O=Acme Computers"; got != want {
		t.Errorf("got subject %s, want %s", got, want)
	}
	if len(d.URIs) != 1 || d.URIs[0].String() != "spiffe://merchant.pay.example/shop1" || d.Identity.String() != d.URIs[0].String() {
		t.Errorf("got URIs %v of %v", d.URIs, d.Identity)
	}
	if !slices.Equal(d.DNSNames, req.Party.DNSNames) || !slices.Equal(d.Addresses, req.Party.Addresses) {
		t.Errorf("got %v and %v, want all names of the party", d.DNSNames, d.Addresses)
	}
	if d.KeyUsage != x509.KeyUsageDigitalSignature || len(d.ExtKeyUsage) != 2 || d.OCSPNoCheck || !d.StatusURLs {
		t.Errorf("got usages %v %v, no check %t, status %t", d.KeyUsage, d.ExtKeyUsage, d.OCSPNoCheck, d.StatusURLs)
	}
	if d.Network != network || d.Profile != "merchant" || d.IssuerName != policy.MerchantCA ||
		string(d.RawSPKI) != string(req.CSR.RawSPKI) || d.PublicKey != req.CSR.PublicKey {
		t.Errorf("got %+v", d)
	}
}

func TestDecideChoosesNames(t *testing.T) {
	t.Parallel()
	p := newPKI(t)
	for _, tt := range []struct {
		name      string
		dns       []string
		ips       []net.IP
		wantDNS   []string
		wantAddrs string
	}{
		{"one DNS name", []string{"www.shop.test"}, nil, []string{"www.shop.test"}, "[]"},
		{"one address", nil, []net.IP{net.ParseIP("2001:db8::1")}, nil, "[2001:db8::1]"},
		{"a name twice", []string{"shop.test", "shop.test"}, nil, []string{"shop.test"}, "[]"},
		{"nothing: everything", nil, nil, []string{"shop.test", "www.shop.test"}, "[192.0.2.1 2001:db8::1]"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			req := goodRequest(t, p, policy.Merchant, "merchant")
			req.CSR = parsed(t, x509.CertificateRequest{DNSNames: tt.dns, IPAddresses: tt.ips})
			d, err := policy.Decide(req)
			if err != nil {
				t.Fatal(err)
			}
			if got := d.Addresses; !slices.Equal(d.DNSNames, tt.wantDNS) || !strings.EqualFold(textOf(got), tt.wantAddrs) {
				t.Errorf("got %v and %v, want %v and %s", d.DNSNames, got, tt.wantDNS, tt.wantAddrs)
			}
		})
	}
	t.Run("23 an IPv4-mapped IPv6 SAN is the IPv4 address", func(t *testing.T) {
		t.Parallel()
		mapped := func(last byte) *policy.CSR {
			addr := netip.AddrFrom4([4]byte{192, 0, 2, last})
			raw := netip.AddrFrom16(addr.As16()).As16()
			csr, err := policy.ParseCSR(rawCSR(t, nil, extensionRequest(t, san(t, 7, string(raw[:])))))
			if err != nil {
				t.Fatal(err)
			}
			return csr
		}
		req := goodRequest(t, p, policy.Merchant, "merchant")
		req.CSR = mapped(1)
		d, err := policy.Decide(req)
		if err != nil || textOf(d.Addresses) != "[192.0.2.1]" {
			t.Errorf("got %v, want 192.0.2.1", err)
		}
		req.Party.Addresses = []netip.Addr{netip.MustParseAddr("::ffff:192.0.2.1")}
		if d, err = policy.Decide(req); err != nil || textOf(d.Addresses) != "[192.0.2.1]" {
			t.Errorf("got %v for a mapped address in the record, want 192.0.2.1", err)
		}
		req.CSR = mapped(2)
		_, err = policy.Decide(req)
		wantRules(t, err, "san-address")
	})
}

func textOf(addrs []netip.Addr) string {
	texts := make([]string, len(addrs))
	for i, addr := range addrs {
		texts[i] = addr.String()
	}
	return "[" + strings.Join(texts, " ") + "]"
}

func TestDecideRefuses(t *testing.T) {
	t.Parallel()
	p := newPKI(t)
	csr := func(tmpl x509.CertificateRequest) func(*policy.Request) {
		return func(r *policy.Request) { r.CSR = parsed(t, tmpl) }
	}
	ext := func(extensions ...pkix.Extension) func(*policy.Request) {
		return csr(x509.CertificateRequest{ExtraExtensions: extensions})
	}
	ku := func(bits byte) pkix.Extension {
		return extension(t, oidKU, asn1.BitString{Bytes: []byte{bits}, BitLength: 8})
	}
	eku := func(last ...int) pkix.Extension {
		return extension(t, oidEKU, []asn1.ObjectIdentifier{last})
	}
	for _, tt := range []struct {
		name   string
		change func(*policy.Request)
		rules  []string
	}{
		{"nothing", func(r *policy.Request) { *r = policy.Request{} }, []string{"request"}},
		{"no profile", func(r *policy.Request) { r.Profile = nil }, []string{"request"}},
		{"a CSR that nobody verified", func(r *policy.Request) {
			r.CSR = &policy.CSR{Raw: r.CSR.Raw, RawSPKI: r.CSR.RawSPKI, PublicKey: r.CSR.PublicKey}
		}, []string{"request"}},
		{"no issuer", func(r *policy.Request) { r.Issuer = nil }, []string{"request"}},
		{"no time", func(r *policy.Request) { r.Now = time.Time{} }, []string{"request"}},
		{"a suspended party", func(r *policy.Request) { r.Party.State = policy.Suspended }, []string{"party-active"}},
		{"a closed party", func(r *policy.Request) { r.Party.State = policy.Closed }, []string{"party-active"}},
		{"a malformed party", func(r *policy.Request) { r.Party.ID = "a/b" }, []string{"party-id"}},
		{"the network's own party as merchant", func(r *policy.Request) { r.Party.ID = "ca" }, []string{"party-id"}},
		{"a legal name with a line end", func(r *policy.Request) { r.Party.Name = "a\nb" }, []string{"party-name"}},
		{"a malformed network", func(r *policy.Request) { r.Network = "Pay" }, []string{"network-name", "issuer-role"}},
		{"51 a merchant under the profile of gateways", func(r *policy.Request) {
			r.Profile, r.IssuerName, r.Issuer = profile(t, "gateway"), policy.GatewayCA, p.cas[policy.GatewayCA].cert
		}, []string{"profile-role"}},
		{"51 a merchant under the profile of OCSP signers", func(r *policy.Request) {
			r.Profile = profile(t, "ocsp-signer")
		}, []string{"profile-role"}},
		{"the name of another CA", func(r *policy.Request) { r.IssuerName = policy.BankCA }, []string{"issuer-role"}},
		{"the certificate of another CA", func(r *policy.Request) { r.Issuer = p.cas[policy.BankCA].cert }, []string{"issuer-role"}},
		{"a leaf as issuer", func(r *policy.Request) { r.Issuer = p.leaf(t, policy.MerchantCA, nil)[0] }, []string{"issuer-role", "issuer-ca", "issuer-path"}},
		{"a CA that signs no certificates", func(r *policy.Request) {
			r.Issuer.KeyUsage = x509.KeyUsageCRLSign
		}, []string{"issuer-ca"}},
		{"an issuer that is no CA", func(r *policy.Request) { r.Issuer.IsCA = false }, []string{"issuer-ca"}},
		{"a party without role under the profile of OCSP signers", func(r *policy.Request) {
			r.Profile, r.Party = profile(t, "ocsp-signer"), policy.Party{ID: "shop1"}
		}, []string{"profile-role"}},
		{"a key that the profile does not take", func(r *policy.Request) {
			cfg := r.Profile.Config()
			cfg.Keys = []string{policy.KeyEd25519}
			r.Profile, _ = policy.NewProfile(cfg)
		}, []string{"key-kind"}},
		{"a DNS name of somebody else", csr(x509.CertificateRequest{DNSNames: []string{"shop.test", "bank.test"}}), []string{"san-dns"}},
		{"a DNS name below the party's", csr(x509.CertificateRequest{DNSNames: []string{"a.shop.test"}}), []string{"san-dns"}},
		{"an address of somebody else", csr(x509.CertificateRequest{IPAddresses: []net.IP{net.IPv4(192, 0, 2, 9)}}), []string{"san-address"}},
		{"a URI of another party", csr(x509.CertificateRequest{URIs: []*url.URL{mustURL(t, "spiffe://merchant.pay.example/shop2")}}), []string{"san-uri"}},
		{"a URI of another role", csr(x509.CertificateRequest{URIs: []*url.URL{mustURL(t, "spiffe://gateway.pay.example/shop1")}}), []string{"san-uri"}},
		{"an e-mail address", csr(x509.CertificateRequest{EmailAddresses: []string{"a@shop.test"}}), []string{"san-email"}},
		{"a DNS name without a server", func(r *policy.Request) {
			cfg := r.Profile.Config()
			cfg.ExtKeyUsage = []string{"clientAuth"}
			r.Profile, _ = policy.NewProfile(cfg)
			r.CSR = parsed(t, x509.CertificateRequest{DNSNames: []string{"shop.test"}})
		}, []string{"san-server"}},
		{"13 CA:TRUE", ext(extension(t, oidBC, []bool{true})), []string{"leaf-ca"}},
		{"13 keyCertSign", ext(ku(0x04)), []string{"leaf-ca"}},
		{"13 cRLSign", ext(ku(0x02)), []string{"leaf-ca"}},
		{"13 OCSPSigning", ext(eku(1, 3, 6, 1, 5, 5, 7, 3, 9)), []string{"eku"}},
		{"13 anyEKU", ext(eku(2, 5, 29, 37, 0)), []string{"eku"}},
		{"55 a critical unknown extension", ext(pkix.Extension{Id: oidNone, Critical: true}), []string{"extension-critical"}},
		{"everything at once", func(r *policy.Request) {
			r.Party.State, r.IssuerName, r.NotAfter = policy.Suspended, policy.BankCA, now.AddDate(9, 0, 0)
			r.CSR = parsed(t, x509.CertificateRequest{
				DNSNames: []string{"bank.test"}, EmailAddresses: []string{"a@shop.test"},
				ExtraExtensions: []pkix.Extension{ku(0x04), eku(2, 5, 29, 37, 0)},
			})
		}, []string{"party-active", "issuer-role", "san-email", "san-dns", "leaf-ca", "eku", "not-after"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			req := goodRequest(t, p, policy.Merchant, "merchant")
			issuer := *req.Issuer // shared with the other cases
			req.Issuer = &issuer
			tt.change(&req)
			d, err := policy.Decide(req)
			if d != nil {
				t.Errorf("got a decision, want none")
			}
			wantRules(t, err, tt.rules...)
			if _, ok := errors.AsType[*policy.Violation](err); !ok {
				t.Errorf("got %T, want violations inside", err)
			}
		})
	}
}

func TestDecideForOCSPSigners(t *testing.T) {
	t.Parallel()
	p := newPKI(t)
	for _, name := range policy.CAs() {
		req := policy.Request{
			Network: network, Profile: profile(t, "ocsp-signer"), CSR: parsed(t, x509.CertificateRequest{}),
			IssuerName: name, Issuer: p.cas[name].cert, Above: []*x509.Certificate{p.root.cert}, Now: now,
		}
		d, err := policy.Decide(req)
		if err != nil {
			t.Fatal(err)
		}
		if got, want := d.Subject.String(), "CN="+name+" OCSP signer,O="+network; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
		if len(d.URIs)+len(d.DNSNames)+len(d.Addresses) > 0 || d.Identity != (policy.Identity{}) || !d.OCSPNoCheck || d.StatusURLs ||
			!slices.Equal(d.ExtKeyUsage, []x509.ExtKeyUsage{x509.ExtKeyUsageOCSPSigning}) || d.KeyUsage != x509.KeyUsageDigitalSignature {
			t.Errorf("got %+v", d)
		}
		req.IssuerName = "root"
		_, err = policy.Decide(req)
		wantRules(t, err, "issuer-role")
		req.IssuerName, req.CSR = name, parsed(t, x509.CertificateRequest{URIs: []*url.URL{mustURL(t, "spiffe://service.pay.example/ca")}})
		_, err = policy.Decide(req)
		wantRules(t, err, "san-uri")
	}
}

// What Decide grants, Identify recognises, for every profile of a party.
func TestIdentifyRecognisesEveryDecision(t *testing.T) {
	t.Parallel()
	p := newPKI(t)
	for _, cfg := range policy.DefaultProfiles() {
		if cfg.Role == "" {
			continue
		}
		t.Run(cfg.Name, func(t *testing.T) {
			t.Parallel()
			req := goodRequest(t, p, cfg.Role, cfg.Name)
			if cfg.Role == policy.Service {
				req.Party.ID = policy.NetworkParty
			}
			d, err := policy.Decide(req)
			if err != nil {
				t.Fatal(err)
			}
			uses := []policy.Use{policy.AnyUse, policy.EncryptionUse}
			if d.KeyUsage == x509.KeyUsageDigitalSignature {
				uses[1] = policy.ClientUse
			}
			chain := []*x509.Certificate{certificate(t, d, p.cas[d.IssuerName]), p.cas[d.IssuerName].cert}
			for _, use := range uses {
				peer, err := p.trust().Identify(chain, use, now)
				if err != nil || peer.Identity != d.Identity {
					t.Errorf("for %s: got %v, want %v", use, err, d.Identity)
				}
			}
		})
	}
}

// certificate signs what was decided.
func certificate(t testing.TB, d *policy.Decision, by authority) *x509.Certificate {
	t.Helper()
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: d.NotBefore, NotAfter: d.NotAfter, URIs: d.URIs, DNSNames: d.DNSNames,
		KeyUsage: d.KeyUsage, ExtKeyUsage: d.ExtKeyUsage, BasicConstraintsValid: true,
	}
	tmpl.Subject.FillFromRDNSequence(&d.Subject)
	for _, addr := range d.Addresses {
		tmpl.IPAddresses = append(tmpl.IPAddresses, addr.AsSlice())
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, by.cert, d.PublicKey, by.key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

func BenchmarkParseCSR(b *testing.B) {
	der := newCSR(b, x509.CertificateRequest{DNSNames: []string{"shop.test"}})
	for b.Loop() {
		if _, err := policy.ParseCSR(der); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDecide(b *testing.B) {
	req := goodRequest(b, newPKI(b), policy.Merchant, "merchant")
	for b.Loop() {
		if _, err := policy.Decide(req); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkIdentify(b *testing.B) {
	p := newPKI(b)
	chain, trust := p.leaf(b, policy.MerchantCA, nil), p.trust()
	for b.Loop() {
		if _, err := trust.Identify(chain, policy.ServerUse, now); err != nil {
			b.Fatal(err)
		}
	}
}
