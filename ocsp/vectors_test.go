package ocsp_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/payca/payca/ocsp"
)

// vectors is where Debian's package python3-cryptography-vectors has the odd messages of pyca/cryptography.
const vectors = "/usr/lib/python3/dist-packages/cryptography_vectors/x509/ocsp"

func TestOddMessagesOfOthers(t *testing.T) {
	t.Parallel()
	requests := map[string]int{ // how many certificates are asked about, 0 for a refusal
		"ocsp-army.valid-req.der": 1, "ocsp-army.revoked-req.der": 1, "ocsp-army.inapplicable-req.der": 1, "req-sha1.der": 1, "req-multi-sha1.der": 2,
		"req-ext-nonce.der": 1, "req-ext-unknown-oid.der": 1, "req-invalid-hash-alg.der": 1,
		"req-duplicate-ext.der": 0,
	}
	refused := "refused"
	responses := map[string]string{
		"ocsp-army.deps.mil-resp.der": "revoked", "resp-sha256.der": "good", "resp-revoked.der": "revoked", "resp-revoked-reason.der": "revoked",
		"resp-revoked-no-next-update.der": "revoked", "resp-delegate-unknown-cert.der": "unknown", "resp-responder-key-hash.der": "revoked",
		"resp-sct-extension.der": "good", "resp-single-extension-reason.der": "good", "resp-unknown-extension.der": "revoked",
		"resp-unknown-hash-alg.der": "revoked", "resp-invalid-signature-oid.der": "good",
		"resp-response-type-unknown-oid.der": refused, "resp-successful-no-response-bytes.der": refused,
		"resp-unauthorized.der": "unauthorized", "resp-unknown-response-status.der": "responseStatus(7)",
	}
	files, err := filepath.Glob(filepath.Join(vectors, "*.der"))
	if err != nil || len(files) == 0 {
		missing(t, "python3-cryptography-vectors")
	}
	seen := 0
	for _, file := range files {
		der, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		name := filepath.Base(file)
		if want, ok := requests[name]; ok {
			seen++
			r, err := ocsp.ParseRequest(der)
			if (err != nil) != (want == 0) || err == nil && len(r.CertIDs) != want {
				t.Errorf("%s: %d certificates, %v, want %d", name, len(r.CertIDs), err, want)
			}
			continue
		}
		want, ok := responses[name]
		if !ok && !strings.Contains(name, "req") {
			t.Logf("%s is new: %v", name, told(der))
			continue
		}
		seen++
		if got := told(der); got != want {
			t.Errorf("%s: got %s, want %s", name, got, want)
		}
	}
	if all := len(requests) + len(responses); seen != all || all != 25 {
		t.Errorf("saw %d messages, want all %d", seen, all)
	}
}

// told is the first status in a response, or why there is none.
func told(der []byte) string {
	r, err := ocsp.ParseResponse(der)
	if refused, ok := errors.AsType[*ocsp.ResponseError](err); ok {
		return refused.Status.String()
	}
	if err != nil || len(r.Singles) == 0 {
		return "refused"
	}
	return r.Singles[0].State.String()
}
