package network_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/payca/payca/enroll"
	"github.com/payca/payca/policy"
)

// A door is a way by which a party without a person gets a certificate.
type door struct {
	name, path string
	json       bool
	renews     bool // by the certificate of the caller; else by a token
	body       func(t *testing.T, token string, csr []byte) []byte
}

// doors are all of them.
func doors() []door {
	marshal := func(t *testing.T, v any) []byte {
		t.Helper()
		raw, err := json.Marshal(v)
		must(t, err)
		return raw
	}
	text := func(csr []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: csr}))
	}
	est := func(_ *testing.T, _ string, csr []byte) []byte { return []byte(base64.StdEncoding.EncodeToString(csr)) }
	return []door{
		{"token", "/v1/enroll", true, false, func(t *testing.T, token string, csr []byte) []byte {
			t.Helper()
			return marshal(t, enroll.EnrollRequest{Token: token, CSR: csr})
		}},
		{"step sign", "/1.0/sign", true, false, func(t *testing.T, token string, csr []byte) []byte {
			t.Helper()
			return marshal(t, map[string]string{"ott": token, "csr": text(csr)})
		}},
		{"EST simpleenroll", "/.well-known/est/simpleenroll", false, false, est},
		{"renew", "/v1/renew", true, true, func(t *testing.T, _ string, csr []byte) []byte {
			t.Helper()
			return marshal(t, enroll.RenewRequest{CSR: csr})
		}},
		{"step rekey", "/1.0/rekey", true, true, func(t *testing.T, _ string, csr []byte) []byte {
			t.Helper()
			return marshal(t, map[string]string{"csr": text(csr)})
		}},
		{"EST simplereenroll", "/.well-known/est/simplereenroll", false, true, est},
	}
}

// post knocks at a door.
func (d door) post(t *testing.T, r *running, client *http.Client, token string, body []byte) (status int, answer string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, r.url+d.path, bytes.NewReader(body))
	must(t, err)
	req.Header.Set("Content-Type", "application/pkcs10")
	if d.json {
		req.Header.Set("Content-Type", "application/json")
	} else if !d.renews {
		req.SetBasicAuth("shop1", token)
	}
	resp, err := client.Do(req)
	must(t, err)
	defer func() { _ = resp.Body.Close() }()
	raw, err := io.ReadAll(resp.Body)
	must(t, err)
	return resp.StatusCode, string(raw)
}

// badRequests are requests that no door lets in, by what is wrong.
func badRequests(t *testing.T) map[string][]byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	with := func(template x509.CertificateRequest) []byte {
		der, err := x509.CreateCertificateRequest(rand.Reader, &template, key)
		must(t, err)
		return der
	}
	extension := func(id asn1.ObjectIdentifier, value any) pkix.Extension {
		der, err := asn1.Marshal(value)
		must(t, err)
		return pkix.Extension{Id: id, Critical: true, Value: der}
	}
	type basic struct {
		CA bool `asn1:"optional"`
	}
	constraints, usage, extended := asn1.ObjectIdentifier{2, 5, 29, 19}, asn1.ObjectIdentifier{2, 5, 29, 15}, asn1.ObjectIdentifier{2, 5, 29, 37}
	asking := func(list ...pkix.Extension) []byte { return with(x509.CertificateRequest{ExtraExtensions: list}) }
	names := func(n int) []byte {
		list := make([]string, n)
		for i := range list {
			list[i] = fmt.Sprintf("a%d.b", i)
		}
		return with(x509.CertificateRequest{DNSNames: list})
	}
	good := with(x509.CertificateRequest{})
	flipped := bytes.Clone(good)
	flipped[len(flipped)-1] ^= 1
	length := int(good[1])
	if length != 0x81 { // the request of a P-256 key has a length of two octets
		t.Fatalf("a request starts with % x", good[:4])
	}
	indefinite := append(append([]byte{0x30, 0x80}, good[3:]...), 0, 0)
	return map[string][]byte{
		"1 a flipped bit of the signature": flipped,
		"10 signed with SHA-1":             with(x509.CertificateRequest{SignatureAlgorithm: x509.ECDSAWithSHA1}),
		"11 3,000 names":                   names(3_000),
		"11 10,000 names":                  names(10_000),
		"11 depth 10,000, indefinite":      bytes.Repeat([]byte{0x30, 0x80}, 10_000),
		"11 more than 64 KiB":              append([]byte{0x30, 0x83, 0x01, 0x38, 0x80}, make([]byte, 80_000)...),
		"12 basicConstraints twice":        asking(extension(constraints, basic{}), extension(constraints, basic{})),
		"13 CA:TRUE":                       asking(extension(constraints, basic{CA: true})),
		"13 keyCertSign":                   asking(extension(usage, asn1.BitString{Bytes: []byte{0x04}, BitLength: 6})),
		"13 OCSPSigning":                   asking(extension(extended, []asn1.ObjectIdentifier{{1, 3, 6, 1, 5, 5, 7, 3, 9}})),
		"13 any extended key usage":        asking(extension(extended, []asn1.ObjectIdentifier{{2, 5, 29, 37, 0}})),
		"15 trailing octets":               append(bytes.Clone(good), 0),
		"15 indefinite length":             indefinite,
	}
}

// certificates counts those of a party.
func (r *running) certificates(t *testing.T, party string) (n int) {
	t.Helper()
	for c, err := range r.operator.Certificates(t.Context(), nil) {
		must(t, err)
		if c.Party == party {
			n++
		}
	}
	return n
}

func TestNoDoorLetsABadRequestIn(t *testing.T) {
	t.Parallel()
	r := start(t)
	token := r.register(t, "shop1", policy.Merchant)
	known, err := enroll.Open(r.enroll(t, "shop2", policy.Merchant))
	must(t, err)
	bad := badRequests(t)
	for _, d := range doors() {
		client := trusting(nil)
		if d.renews {
			client = trusting(known.TLS())
		}
		bodies := map[string][]byte{}
		for name, csr := range bad {
			bodies[name] = d.body(t, token, csr)
		}
		if d.json {
			bodies["65 a member twice"] = []byte(`{"csr":"a","csr":"a"}`)
			bodies["65 1e400"] = []byte(`{"csr":1e400}`)
			bodies["65 deep nesting"] = []byte(`{"csr":` + strings.Repeat("[", 20_000))
		}
		for name, body := range bodies {
			status, answer := d.post(t, r, client, token, body)
			if status < 400 || status >= 500 || len(strings.TrimSpace(answer)) == 0 {
				t.Errorf("%s, %s: got %d %.300s, want a refusal that says why", d.name, name, status, answer)
			}
		}
	}
	if n1, n2 := r.certificates(t, "shop1"), r.certificates(t, "shop2"); n1 != 0 || n2 != 1 {
		t.Errorf("got %d certificates by token and %d by renewal, want none and the first", n1, n2)
	}
	_, csr, err := enroll.NewKey()
	must(t, err)
	if status, answer := doors()[0].post(t, r, trusting(nil), token, doors()[0].body(t, token, csr)); status != http.StatusOK {
		t.Errorf("the token after refusals: got %d %s, want it unused", status, answer)
	}
}

// Case 62: one token at every door at once.
func TestATokenOpensOneDoorOnce(t *testing.T) {
	t.Parallel()
	r := start(t)
	token := r.register(t, "shop1", policy.Merchant)
	client := trusting(nil)
	var (
		group  sync.WaitGroup
		mu     sync.Mutex
		opened []string
	)
	for _, d := range doors() {
		if d.renews {
			continue
		}
		for range 34 {
			_, csr, err := enroll.NewKey()
			must(t, err)
			body := d.body(t, token, csr)
			group.Go(func() {
				status, answer := d.post(t, r, client, token, body)
				mu.Lock()
				defer mu.Unlock()
				switch {
				case status < 300:
					opened = append(opened, d.name)
				case status >= 500 || !strings.Contains(answer, "was used by"):
					t.Errorf("%s: got %d %s, want who used the token", d.name, status, answer)
				}
			})
		}
	}
	group.Wait()
	if n := r.certificates(t, "shop1"); len(opened) != 1 || n != 1 {
		t.Errorf("opened %q with %d certificates, want one", opened, n)
	}
}
