package cli_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/payca/payca/cmd/internal/cli"
)

// run runs one command line in an empty environment.
func run(t testing.TB, stdin []byte, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	code = cli.Run(t.Context(), cli.Process{
		In: bytes.NewReader(stdin), Out: &out, Err: &errs, Now: time.Now,
		LookupEnv: func(string) (string, bool) { return "", false },
	}, args)
	return code, out.String(), errs.String()
}

// pki reads the fixed certificates and messages, by file name.
func pki(t testing.TB) map[string][]byte {
	t.Helper()
	dir := filepath.Join("..", "..", "..", "testdata", "pki")
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{}
	for _, entry := range entries {
		if files[entry.Name()], err = os.ReadFile(filepath.Join(dir, entry.Name())); err != nil {
			t.Fatal(err)
		}
	}
	delete(files, "README.md")
	return files
}

func TestInspectReadsDERAsItReadsPEM(t *testing.T) {
	t.Parallel()
	blocks := 0
	for name, data := range pki(t) {
		block, _ := pem.Decode(data)
		if block == nil || block.Type == "ENCRYPTED PRIVATE KEY" {
			continue
		}
		blocks++
		code, want, stderr := run(t, data, "inspect", "-")
		if code != cli.ExitDone || want == "" {
			t.Errorf("%s: got exit code %d, %q, %q, want text", name, code, want, stderr)
		}
		if code, got, _ := run(t, block.Bytes, "inspect", "-"); code != cli.ExitDone || got != want {
			t.Errorf("%s as DER: got exit code %d and\n%s\nwant\n%s", name, code, got, want)
		}
	}
	if blocks < 6 {
		t.Errorf("got %d PEM files, want at least 6", blocks)
	}
}

func TestInspectNeverShowsAPrivateKey(t *testing.T) {
	t.Parallel()
	key := pki(t)["shop1.key"]
	block, _ := pem.Decode(key)
	secret := block.Bytes[36:68] // the scalar of a P-256 key in PKCS #8
	for _, flag := range []string{"--json", "--quiet"} {
		_, stdout, stderr := run(t, key, "inspect", flag, "-")
		if out := stdout + stderr; strings.Contains(out, strings.TrimSpace(string(key))) || containsHex(out, secret) {
			t.Errorf("with %s got the key in %s", flag, out)
		}
	}
}

// containsHex reports whether text holds eight octets of secret in a row.
func containsHex(text string, secret []byte) bool {
	for i := range len(secret) - 8 {
		if strings.Contains(strings.ToLower(text), hex.EncodeToString(secret[i:i+8])) {
			return true
		}
	}
	return false
}

func TestInspectBoundsWhatItReads(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		data []byte
		want string
	}{
		{"17 MiB", bytes.Repeat([]byte("a"), 17<<20), "-: more than 16 MiB"},
		{"a thousand and one blocks", bytes.Repeat(pki(t)["shop1-encrypted.key"], 1001), "-: more than 1000 PEM blocks"},
		{"a PEM block of another kind", []byte("-----BEGIN PASSWORD-----\nMAA=\n-----END PASSWORD-----\n"), `-: PEM block 1, "PASSWORD": want a certificate`},
		{"nothing", nil, "-: want a certificate"},
		{"two dots", []byte("a.b.c"), "-: want a certificate"},
		{"a token without claims", []byte("eyJh.eyJh.eyJh"), "-: token"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			code, stdout, stderr := run(t, tt.data, "inspect", "-")
			if code != cli.ExitFailure || stdout != "" || !strings.HasPrefix(stderr, "payca: error: "+tt.want) {
				t.Errorf("got exit code %d, %.100q, %.100q, want 1 and %q", code, stdout, stderr, tt.want)
			}
		})
	}
}

func FuzzInspect(f *testing.F) {
	for _, data := range pki(f) {
		f.Add(data)
		if block, _ := pem.Decode(data); block != nil {
			f.Add(block.Bytes)
		}
	}
	f.Add([]byte("eyJhbGciOiJFUzI1NiJ9.eyJleHAiOjk5OTk5OTk5OTk5OTk5LCJhIjpudWxsLCJcdTAwMDAiOlsxXX0.c2ln"))
	f.Add([]byte("eyJhbGciOiJFUzI1NiIsImtpZCI6Ikk4U2UwMkxVN3M3SWw0Z3d4N1QzV19WcjJtUW9OOVhRaW05TkstQ1ExNmciLCJ0eXAiOiJKV1QifQ.eyJpc3MiOiJwYXljYSIsImF1ZCI6Imh0dHBzOi8vbG9jYWxob3N0Ojg0NDMvMS4wL3NpZ24iLCJzdWIiOiJzaG9wMSIsInNhbnMiOlsic2hvcC5leGFtcGxlLnRlc3QiXSwic2hhIjoiZDhiYWQ4YmFkOGJhZDhiYWQ4YmFkOGJhZDhiYWQ4YmFkOGJhZDhiYWQ4YmFkOGJhZDhiYWQ4YmFkOGJhZDhiYSIsImp0aSI6IjlmMmMiLCJuYmYiOjE3OTUzOTcxMDAsImlhdCI6MTc5NTM5NzEwMCwiZXhwIjoxNzk1NDAwNzAwLCJuZXR3b3JrIjoicGF5LmV4YW1wbGUiLCJyb2xlIjoibWVyY2hhbnQiLCJwcm9maWxlIjoibWVyY2hhbnQifQ.6mIdJYY2zG39neX1zXlspdepQdXJ-meyl9sUJhPlsfVgFvpEtIxU4wLIgyC9VkpQsTAv2fnFVW9xOEdtH-iYNg"))
	f.Fuzz(func(t *testing.T, data []byte) {
		code, stdout, stderr := run(t, data, "inspect", "-")
		if code == cli.ExitDone == (stdout == "") || code != cli.ExitDone && code != cli.ExitFailure {
			t.Errorf("got exit code %d, %q, %q", code, stdout, stderr)
		}
		for _, r := range stdout + stderr {
			if r != '\n' && !unicode.IsPrint(r) {
				t.Errorf("got %q in %q", r, stdout+stderr)
			}
		}
		if code, stdout, _ = run(t, data, "inspect", "--json", "-"); code == cli.ExitDone && !json.Valid([]byte(stdout)) {
			t.Errorf("got %s, want JSON", stdout)
		}
	})
}
