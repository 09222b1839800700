package status_test

import (
	"crypto/x509"
	"encoding/pem"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/payca/payca/ca"
	"github.com/payca/payca/ca/catest"
	"github.com/payca/payca/policy"
)

// A desk is a directory in which others' tools work.
type desk struct {
	t   *testing.T
	n   *catest.Network
	dir string
}

func newDesk(t *testing.T, n *catest.Network) *desk {
	t.Helper()
	d := &desk{t: t, n: n, dir: t.TempDir()}
	d.certificate("root.pem", n.Root)
	d.certificate("issuer.pem", n.Issuer(t, policy.MerchantCA).Certificate)
	d.crl("root.crl.pem", "/crl/root.crl")
	return d
}

func (d *desk) write(name string, data []byte) {
	d.t.Helper()
	if err := os.WriteFile(filepath.Join(d.dir, name), data, 0o600); err != nil {
		d.t.Fatal(err)
	}
}

func (d *desk) certificate(name string, c *x509.Certificate) {
	d.t.Helper()
	d.write(name, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw}))
}

// crl fetches a list from the status service.
func (d *desk) crl(name, path string) {
	d.t.Helper()
	resp, der := get(d.t, http.MethodGet, d.n.StatusURL+path, "")
	if resp.StatusCode != http.StatusOK {
		d.t.Fatalf("%s: %s", path, resp.Status)
	}
	d.write(name, pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: der}))
}

func (d *desk) run(program string, args ...string) string {
	d.t.Helper()
	cmd := exec.CommandContext(d.t.Context(), catest.NeedTool(d.t, program), args...)
	cmd.Dir = d.dir
	out, _ := cmd.CombinedOutput() // what it says is looked at
	return string(out)
}

// verify asks OpenSSL about a certificate with the lists named; the root's is always there.
func (d *desk) verify(cert string, lists []string, flags ...string) string {
	args := append([]string{"verify", "-crl_check_all", "-CAfile", "root.pem", "-untrusted", "issuer.pem", "-CRLfile", "root.crl.pem"}, flags...)
	for _, l := range lists {
		args = append(args, "-CRLfile", l)
	}
	return d.run("openssl", append(args, cert)...)
}

// enrolled makes a merchant whose certificate is in one shard, and one in another.
func twoShards(t *testing.T, n *catest.Network) (one, other *x509.Certificate) {
	t.Helper()
	one = n.Enroll(t, "shop1", policy.Merchant).Leaf
	n.Enroll(t, "shop2", policy.Merchant)
	for {
		other = n.Issue(t, "shop2").Leaf
		if other.CRLDistributionPoints[0] != one.CRLDistributionPoints[0] {
			return one, other
		}
	}
}

// path is where the certificate says that its list is.
func path(n *catest.Network, c *x509.Certificate) string {
	return strings.TrimPrefix(c.CRLDistributionPoints[0], n.StatusURL)
}

func publish(t *testing.T, n *catest.Network) uint64 {
	t.Helper()
	number, err := n.Status.Publish(t.Context(), policy.MerchantCA)
	if err != nil {
		t.Fatal(err)
	}
	return number
}

func TestOpenSSLObeysFullListShardAndDelta(t *testing.T) {
	t.Parallel()
	n := catest.New(t)
	d := newDesk(t, n)
	one, other := twoShards(t, n)
	d.certificate("one.pem", one)
	d.certificate("other.pem", other)
	d.crl("full-before.pem", "/crl/merchant.crl")
	want := func(what, out, text string) {
		t.Helper()
		if !strings.Contains(out, text) {
			t.Errorf("%s: want %q in\n%s", what, text, out)
		}
	}
	d.crl("shard.pem", path(n, one))
	want("good by full list", d.verify("one.pem", []string{"full-before.pem"}), "one.pem: OK")
	want("good by shard", d.verify("one.pem", []string{"shard.pem"}, "-extended_crl"), "one.pem: OK")
	want("shard of others", d.verify("other.pem", []string{"shard.pem"}, "-extended_crl"), "different CRL scope")

	n.Revoke(t, one, ca.KeyCompromise)
	n.Revoke(t, other, ca.CertificateHold)
	publish(t, n)
	d.crl("full.pem", "/crl/merchant.crl")
	d.crl("delta.pem", "/crl/merchant/delta.crl")
	d.crl("shard.pem", path(n, one))
	d.crl("other-shard.pem", path(n, other))
	want("revoked by full list", d.verify("one.pem", []string{"full.pem"}), "certificate revoked")
	want("revoked by shard", d.verify("one.pem", []string{"shard.pem"}, "-extended_crl"), "certificate revoked")
	want("on hold by shard", d.verify("other.pem", []string{"other-shard.pem"}, "-extended_crl"), "certificate revoked")
	want("good by the full list alone", d.verify("one.pem", []string{"full-before.pem"}), "one.pem: OK")
	deltas := []string{"-extended_crl", "-use_deltas"}
	want("revoked by delta", d.verify("one.pem", []string{"full-before.pem", "delta.pem"}, deltas...), "certificate revoked")
	want("on hold by delta", d.verify("other.pem", []string{"full-before.pem", "delta.pem"}, deltas...), "certificate revoked")
	want("our lists", d.run("openssl", "crl", "-in", "delta.pem", "-CAfile", "issuer.pem", "-noout", "-text"), "Delta CRL Indicator: critical")
	text := d.run("openssl", "crl", "-in", "shard.pem", "-CAfile", "issuer.pem", "-noout", "-text")
	want("our shard", text, "Issuing Distribution Point: critical")
	want("our shard", text, "URI:"+one.CRLDistributionPoints[0])
	want("our shard", text, "Only User Certificates")
	want("our shard", text, "verify OK")

	serial, err := ca.SerialOf(other.SerialNumber)
	if err != nil {
		t.Fatal(err)
	}
	if err := n.Authority.Release(t.Context(), ca.ReleaseRequest{Serial: serial, By: "test"}); err != nil {
		t.Fatal(err)
	}
	publish(t, n)
	d.crl("delta.pem", "/crl/merchant/delta.crl")
	want("the delta takes it off", d.run("openssl", "crl", "-in", "delta.pem", "-noout", "-text"), "Remove From CRL")
	want("released by delta", d.verify("other.pem", []string{"full.pem", "delta.pem"}, deltas...), "other.pem: OK")
	want("on hold by the full list before", d.verify("other.pem", []string{"full.pem"}), "certificate revoked")
}

func TestGnuTLSObeysTheFullList(t *testing.T) {
	t.Parallel()
	n := catest.New(t)
	d := newDesk(t, n)
	one, other := twoShards(t, n)
	n.Revoke(t, one, ca.Superseded)
	publish(t, n)
	d.crl("full.pem", "/crl/merchant.crl")
	if out := d.run("certtool", "--verify-crl", "--load-ca-certificate", "issuer.pem", "--infile", "full.pem"); !strings.Contains(out, "Verification output: Verified") {
		t.Errorf("the full list: %s", out)
	}
	chain := func(c *x509.Certificate) []byte {
		var b []byte
		for _, c := range []*x509.Certificate{c, n.Issuer(t, policy.MerchantCA).Certificate, n.Root} {
			b = append(b, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})...)
		}
		return b
	}
	d.write("one.pem", chain(one))
	d.write("other.pem", chain(other))
	for file, text := range map[string]string{"one.pem": "revoked", "other.pem": "Verified"} {
		out := d.run("certtool", "--verify", "--load-ca-certificate", "root.pem", "--load-crl", "full.pem", "--infile", file)
		if !strings.Contains(out, text) {
			t.Errorf("%s: want %q in\n%s", file, text, out)
		}
	}
	if out := d.run("certtool", "--crl-info", "--infile", "full.pem"); !strings.Contains(out, "CRL Number") || !strings.Contains(out, time.Now().UTC().Format("2006")) {
		t.Errorf("what it shows: %s", out)
	}
}
