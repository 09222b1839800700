package policy_test

import (
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/payca/payca/policy"
)

// oddRequests is where Debian's package python3-cryptography-vectors has the odd requests of pyca/cryptography.
const oddRequests = "/usr/lib/python3/dist-packages/cryptography_vectors/x509/requests"

func TestOddRequestsOfOthers(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob(filepath.Join(oddRequests, "*"))
	if err != nil || len(files) == 0 {
		if os.Getenv("PAYCA_REQUIRE_TOOLS") != "" {
			t.Fatal("python3-cryptography-vectors is not installed, and PAYCA_REQUIRE_TOOLS wants it")
		}
		t.Skip("python3-cryptography-vectors is not installed")
	}
	// The rule that refuses a file, by its name without the ending; "" for one that is accepted.
	want := map[string]string{
		"challenge": "", "challenge-unstructured": "", "ec_sha256": "", "ec_sha256_old_header": "", "rsa_sha256": "",
		"bad-version": "csr-form", "long-form-attribute": "csr-form", "two_basic_constraints": "csr-duplicate",
		"challenge-invalid": "csr-signature", "challenge-multi-valued": "csr-signature", "invalid_signature": "key-size",
		"dsa_sha1": "key-kind", "freeipa-bad-critical": "san-kind", "rsa_md4": "csr-signature-algorithm", "rsa_sha1": "csr-signature-algorithm",
		"san_rsa_sha1": "csr-signature-algorithm", "basic_constraints": "csr-signature-algorithm",
		"unsupported_extension": "csr-signature-algorithm", "unsupported_extension_critical": "csr-signature-algorithm",
	}
	for _, file := range files {
		der, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if block, _ := pem.Decode(der); block != nil {
			der = block.Bytes
		}
		name := strings.TrimSuffix(filepath.Base(file), filepath.Ext(file))
		csr, err := policy.ParseCSR(der)
		rule, known := want[name]
		switch got := rulesOf(err); {
		case !known:
			t.Logf("%s is new: %v", name, err)
		case rule == "" && (err != nil || csr == nil):
			t.Errorf("%s: got %v, want it accepted", name, err)
		case rule != "" && (len(got) == 0 || got[0] != rule || csr != nil):
			t.Errorf("%s: got %v, want it refused by %s", name, err, rule)
		}
	}
}
