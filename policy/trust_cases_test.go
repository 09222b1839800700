package policy_test

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"testing"
	"time"

	"github.com/payca/payca/policy"
)

// TestIdentifyCases52To56: chains of the case list that plain crypto/x509 accepts, or could take long over.
func TestIdentifyCases52To56(t *testing.T) {
	t.Parallel()
	p := newPKI(t)
	good := p.leaf(t, policy.MerchantCA, nil)
	constrained := func(value ...byte) []*x509.Certificate {
		tmpl := caTemplate(policy.MerchantCA)
		tmpl.PermittedURIDomains, tmpl.ExcludedDNSDomains = nil, nil
		host := "merchant." + network
		subtree := append([]byte{0x86, byte(len(host))}, host...)
		subtree = append(subtree, value...)
		list := append([]byte{0x30, byte(len(subtree))}, subtree...)
		list = append([]byte{0xa0, byte(len(list))}, list...)
		tmpl.ExtraExtensions = []pkix.Extension{{Id: []int{2, 5, 29, 30}, Critical: true, Value: append([]byte{0x30, byte(len(list))}, list...)}}
		return pki{cas: map[string]authority{"odd": sign(t, p.root, tmpl)}}.leaf(t, "odd", nil)
	}
	twins := func(n int) []*x509.Certificate {
		chain := good[:1:1]
		for i := range n {
			tmpl := caTemplate(policy.MerchantCA)
			tmpl.SerialNumber, tmpl.NotAfter = big.NewInt(int64(1000+i)), now.Add(-time.Duration(i+1)*time.Second)
			chain = append(chain, crossSign(t, p.root, tmpl, p.cas[policy.MerchantCA]))
		}
		return append(chain, good[1])
	}
	rollover := caTemplate(policy.MerchantCA) // the issuing CA under its own name, signed by itself
	rollover.MaxPathLenZero, rollover.MaxPathLen = false, -1
	selfIssued := crossSign(t, p.cas[policy.MerchantCA], func() *x509.Certificate { rollover.SerialNumber = big.NewInt(77); return rollover }(), p.cas[policy.MerchantCA])
	for _, tt := range []struct {
		name      string
		presented []*x509.Certificate
		rule      string // "" where it is accepted
	}{
		{"52 a self-issued certificate of a rollover between leaf and issuing CA, the good path found beside it", []*x509.Certificate{good[0], selfIssued, good[1]}, ""},
		{"52 a self-issued certificate of a rollover alone", []*x509.Certificate{good[0], selfIssued}, "chain"},
		{"53 eight expired twins of the issuing CA before the good one", twins(8), ""},
		{"55 constraints as they should be, critical", constrained(), ""},
		{"55 a critical subtree with a minimum", constrained(0x80, 1, 1), "chain"},
		{"55 a critical subtree with a maximum", constrained(0x81, 1, 5), "chain"},
		{"56 a thousand cross-signed twins", twins(1000), "chain"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			begun := time.Now()
			_, err := p.trust().Identify(tt.presented, policy.ClientUse, now)
			if took := time.Since(begun); took > 2*time.Second {
				t.Errorf("took %v", took)
			}
			if tt.rule != "" {
				wantRules(t, err, tt.rule)
			} else if err != nil {
				t.Errorf("got %v, want it accepted", err)
			}
		})
	}
}
