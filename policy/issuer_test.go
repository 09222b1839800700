package policy_test

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"net"
	"testing"
	"time"

	"github.com/payca/payca/policy"
)

func mustRange(t testing.TB, text string) *net.IPNet {
	t.Helper()
	_, r, err := net.ParseCIDR(text)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestDecideObeysTheConstraintsOfTheChain(t *testing.T) {
	t.Parallel()
	p := newPKI(t)
	for _, tt := range []struct {
		name   string
		issuer func(*x509.Certificate) // changes the merchant CA
		root   func(*x509.Certificate) // changes the root
		rules  []string
	}{
		{"as the ceremony makes them", nil, nil, nil},
		{"no DNS names", func(c *x509.Certificate) { c.ExcludedDNSDomains = []string{""} }, nil, []string{"issuer-constraint", "issuer-constraint"}},
		{"a domain excluded", func(c *x509.Certificate) { c.ExcludedDNSDomains = []string{"www.shop.test"} }, nil, []string{"issuer-constraint"}},
		{"a domain excluded above", nil, func(c *x509.Certificate) { c.ExcludedDNSDomains = []string{"www.shop.test"} }, []string{"issuer-constraint"}},
		{"what is below a domain excluded", func(c *x509.Certificate) { c.ExcludedDNSDomains = []string{".shop.test"} }, nil, []string{"issuer-constraint"}},
		{"another domain permitted", nil, func(c *x509.Certificate) { c.PermittedDNSDomains = []string{"bank.test"} }, []string{"issuer-constraint", "issuer-constraint"}},
		{"the domain permitted", nil, func(c *x509.Certificate) { c.PermittedDNSDomains = []string{"bank.test", "shop.test"} }, nil},
		{"IPv4 excluded", func(c *x509.Certificate) { c.ExcludedIPRanges = []*net.IPNet{mustRange(t, "0.0.0.0/0")} }, nil, []string{"issuer-constraint"}},
		{"all addresses excluded", func(c *x509.Certificate) {
			c.ExcludedIPRanges = []*net.IPNet{mustRange(t, "0.0.0.0/0"), mustRange(t, "::/0")}
		}, nil, []string{"issuer-constraint", "issuer-constraint"}},
		{"other addresses permitted", nil, func(c *x509.Certificate) { c.PermittedIPRanges = []*net.IPNet{mustRange(t, "198.51.100.0/24")} }, []string{"issuer-constraint", "issuer-constraint"}},
		{"other hosts permitted by the issuer", func(c *x509.Certificate) { c.PermittedURIDomains = []string{"gateway.pay.example"} }, nil, []string{"issuer-role"}},
		{"no hosts permitted by the issuer", func(c *x509.Certificate) { c.PermittedURIDomains = nil }, nil, []string{"issuer-role"}},
		{"a host that only ends like ours", func(c *x509.Certificate) { c.PermittedURIDomains = []string{"pay.example"} }, nil, []string{"issuer-role"}},
		{"other hosts permitted above", nil, func(c *x509.Certificate) { c.PermittedURIDomains = []string{"pay.example"} }, []string{"issuer-constraint"}},
		{"all of the network permitted above", nil, func(c *x509.Certificate) { c.PermittedURIDomains = []string{".pay.example"} }, nil},
		{"the host excluded above", nil, func(c *x509.Certificate) { c.ExcludedURIDomains = []string{"merchant.pay.example"} }, []string{"issuer-constraint"}},
		{"names that nobody here compares", nil, func(c *x509.Certificate) {
			c.ExtraExtensions = []pkix.Extension{{Id: []int{2, 5, 29, 30}, Value: []byte{0x30, 0x08, 0xa0, 0x06, 0x30, 0x04, 0xa4, 0x02, 0x30, 0x00}}}
		}, []string{"issuer-constraint"}},
		{"55 a subtree with a minimum", nil, func(c *x509.Certificate) {
			c.ExtraExtensions = []pkix.Extension{{Id: []int{2, 5, 29, 30}, Value: []byte{0x30, 0x0a, 0xa1, 0x08, 0x30, 0x06, 0x82, 0x01, 'x', 0x80, 0x01, 0x01}}}
		}, []string{"issuer-constraint"}},
		{"52 a path length that is used up", nil, func(c *x509.Certificate) { c.MaxPathLen, c.MaxPathLenZero = 0, true }, []string{"issuer-path"}},
		{"a root without a path length", nil, func(c *x509.Certificate) { c.MaxPathLen = -1 }, nil},
		{"a root that signs no certificates", nil, func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageCRLSign }, []string{"issuer-ca"}},
		{"55 a critical unknown extension above", nil, func(c *x509.Certificate) {
			c.ExtraExtensions = []pkix.Extension{{Id: oidNone, Critical: true, Value: []byte{5, 0}}}
		}, []string{"issuer-ca"}},
		{"26 a root that ends before the profile would", nil, func(c *x509.Certificate) { c.NotAfter = now.Add(time.Hour) }, nil},
		{"a root that has ended", nil, func(c *x509.Certificate) { c.NotAfter = now.Add(-time.Second) }, []string{"issuer-validity"}},
		{"another root", nil, func(c *x509.Certificate) { c.Subject.CommonName = "other" }, []string{"issuer-path"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			req := goodRequest(t, p, policy.Merchant, "merchant")
			root := &x509.Certificate{
				Subject: p.root.cert.Subject, NotBefore: now.Add(-time.Hour), NotAfter: now.AddDate(20, 0, 0),
				IsCA: true, BasicConstraintsValid: true, MaxPathLen: 1, KeyUsage: x509.KeyUsageCertSign,
			}
			if tt.root != nil {
				tt.root(root)
			}
			above := sign(t, authority{}, root)
			issuer := caTemplate(policy.MerchantCA)
			if tt.issuer != nil {
				tt.issuer(issuer)
			}
			req.Issuer, req.Above = sign(t, p.root, issuer).cert, []*x509.Certificate{above.cert}
			d, err := policy.Decide(req)
			wantRules(t, err, tt.rules...)
			if err == nil && d.NotAfter.After(above.cert.NotAfter) {
				t.Errorf("got a certificate until %s, want it within the root's %s", d.NotAfter, above.cert.NotAfter)
			}
		})
	}
	t.Run("52 self-issued CAs do not count", func(t *testing.T) {
		t.Parallel()
		req := goodRequest(t, p, policy.Merchant, "merchant")
		middle := &x509.Certificate{
			Subject: p.root.cert.Subject, NotBefore: now.Add(-time.Hour), NotAfter: now.AddDate(20, 0, 0),
			IsCA: true, BasicConstraintsValid: true, MaxPathLen: -1, KeyUsage: x509.KeyUsageCertSign,
		}
		rollover := sign(t, p.root, middle).cert
		req.Above = []*x509.Certificate{rollover, p.root.cert}
		_, err := policy.Decide(req)
		wantRules(t, err)
	})
}

func TestCheckIssuer(t *testing.T) {
	t.Parallel()
	p := newPKI(t)
	for _, name := range policy.CAs() {
		if err := policy.CheckIssuer(network, name, p.cas[name].cert); err != nil {
			t.Errorf("%s: got %v, want what the ceremony makes accepted", name, err)
		}
		if err := policy.CheckIssuer("other.example", name, p.cas[name].cert); err == nil {
			t.Errorf("%s: got no error for another network", name)
		}
	}
	for _, tt := range []struct {
		name, ca string
		change   func(*x509.Certificate)
		rules    []string
	}{
		{"a role too many", policy.MerchantCA, func(c *x509.Certificate) {
			c.PermittedURIDomains = append(c.PermittedURIDomains, "gateway.pay.example")
		}, []string{"issuer-role"}},
		{"a role too few", policy.GatewayCA, func(c *x509.Certificate) { c.PermittedURIDomains = c.PermittedURIDomains[:1] }, []string{"issuer-role"}},
		{"a consumer CA that may certify DNS names", policy.ConsumerCA, func(c *x509.Certificate) { c.ExcludedDNSDomains = []string{network} }, []string{"issuer-constraint"}},
		{"a consumer CA that may certify IPv6", policy.ConsumerCA, func(c *x509.Certificate) { c.ExcludedIPRanges = c.ExcludedIPRanges[:1] }, []string{"issuer-constraint"}},
		{"a bank CA that may certify the network's own names", policy.BankCA, func(c *x509.Certificate) { c.ExcludedDNSDomains = nil }, []string{"issuer-constraint"}},
		{"a bank CA that may certify the network itself", policy.BankCA, func(c *x509.Certificate) { c.ExcludedDNSDomains = []string{"." + network} }, []string{"issuer-constraint"}},
		{"a CA that may make CAs", policy.BankCA, func(c *x509.Certificate) { c.MaxPathLen, c.MaxPathLenZero = 1, false }, []string{"issuer-path"}},
		{"a CA that may make any CA", policy.BankCA, func(c *x509.Certificate) { c.MaxPathLen, c.MaxPathLenZero = -1, false }, []string{"issuer-path"}},
		{"no CA of a network", "escrow", func(*x509.Certificate) {}, []string{"issuer-role", "issuer-role"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			kind := tt.ca
			if kind == "escrow" {
				kind = policy.BankCA
			}
			tmpl := caTemplate(kind)
			tt.change(tmpl)
			wantRules(t, policy.CheckIssuer(network, tt.ca, sign(t, p.root, tmpl).cert), tt.rules...)
		})
	}
}
