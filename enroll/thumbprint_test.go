package enroll_test

import (
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/payca/payca/enroll"
)

func TestAThumbprintIsReadAsItWasWritten(t *testing.T) {
	t.Parallel()
	first, _ := twoCredentials(t)
	text := enroll.Thumbprint(first.Leaf())
	sum, err := enroll.ParseThumbprint(text)
	if err != nil || len(text) != 43 {
		t.Fatalf("got %v for %s", err, text)
	}
	if again, err := enroll.ParseThumbprint(text); err != nil || again != sum {
		t.Errorf("got %x, %v, want %x", again, err, sum)
	}
	last := strings.Repeat("A", 42)
	for _, bad := range []string{"", text[:42], text + "=", text + "A", last + "B", last + "\n", last + "+", "../" + text[3:]} {
		if _, err := enroll.ParseThumbprint(bad); err == nil {
			t.Errorf("%q: got no error", bad)
		}
	}
}

func TestFetchCertificateBelievesNoDirectory(t *testing.T) {
	t.Parallel()
	first, second := twoCredentials(t)
	asked := enroll.Thumbprint(first.Leaf())
	encode := func(c *enroll.Credential) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Leaf().Raw}))
	}
	for _, tt := range []struct{ name, body, want string }{
		{"the certificate", encode(first), ""},
		{"another certificate", encode(second), "answered with certificate " + enroll.Thumbprint(second.Leaf())},
		{"the certificate after another", encode(second) + encode(first), "answered with certificate"},
		{"no certificate", "nothing", "no certificate"},
		{"a key", "-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----\n", "want CERTIFICATE"},
		{"more than a chain", encode(first) + strings.Repeat(" ", 64<<10), "more than 65536 octets"},
	} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/certs/"+asked {
				t.Errorf("%s: got path %s", tt.name, r.URL.Path)
			}
			_, _ = w.Write([]byte(tt.body))
		}))
		chain, err := enroll.FetchCertificate(t.Context(), server.Client(), server.URL+"/", asked)
		server.Close()
		switch {
		case tt.want == "" && (err != nil || !chain[0].Equal(first.Leaf())):
			t.Errorf("%s: got %v", tt.name, err)
		case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)):
			t.Errorf("%s: got %v, want %q", tt.name, err, tt.want)
		}
	}
	if _, err := enroll.FetchCertificate(t.Context(), http.DefaultClient, "http://127.0.0.1:0", "../x"); err == nil || !strings.Contains(err.Error(), "thumbprint") {
		t.Errorf("a malformed thumbprint: got %v, want no request", err)
	}
}
