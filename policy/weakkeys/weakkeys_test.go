package weakkeys_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"math/big"
	"os/exec"
	"strings"
	"testing"

	"github.com/payca/payca/policy/weakkeys"
)

// A key of CVE-2008-0166 and the SHA-1 of its modulus, as published with the tests of Let's Encrypt's boulder
// (goodkey/weak_test.go); the last 80 bits are a line of blacklist.RSA-2048 in Debian's openssl-blacklist.
const (
	debianModulus = "D673252AF6723C3F72529403EAB7C30DEF3C52F97E799825F4A70191C616ADCF1ECE1113F1625971074C492C592025FDEADBDB146A081826" +
		"BDF0D77C3C913DCF1B6F0B3B78F5108D2E493AD0EEE8CA5C021711ADC13D358E61133870FCD19C8E5C22403959782AA82E72AEE53A3D491E3912CE27B27E1A85" +
		"EA69C19A527D28F7934C9823B7E56FDD657DAC83FDC65BB22A98D843DF73238919781B714C81A5E2AFEC71F5C54AA2A27C590AD94C03C1062D50EFCFFAC743E3" +
		"C8A3AE056846A1D756EB862BF4224169D467C35215ADE0AFCC11E85FE629AFB802C4786FF2E9C929BCCF502B3D3B8876C6A11785CC398B389F1D86BDD9CB0BD4" +
		"EC13956EC3FA270D"
	debianSHA1 = "a3853d0c563765e504c18df20e6961a16398b85a"
)

func debianKey(t testing.TB) *rsa.PublicKey {
	t.Helper()
	n, ok := new(big.Int).SetString(debianModulus, 16)
	if !ok {
		t.Fatal("the modulus is no number")
	}
	return &rsa.PublicKey{N: n, E: 65537}
}

func read(t testing.TB, text string) *weakkeys.List {
	t.Helper()
	l, err := weakkeys.Read(strings.NewReader(text), "list.txt")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// Case 7: a key of Debian, from a list.
func TestDebianKeyIsFound(t *testing.T) {
	t.Parallel()
	key := debianKey(t)
	l := read(t, "# blacklist.RSA-2048\n00005890bc78bcbee3ca\n"+debianSHA1[20:]+"\nffff5890bc78bcbee3ca\n")
	if !l.Has(key) || l.Len() != 3 || l.Name() != "list.txt" {
		t.Errorf("list of %d: key found %t, want it found among 3", l.Len(), l.Has(key))
	}
	small := *key
	small.E = 3 // the generator makes the same modulus
	if !l.Has(&small) {
		t.Error("not found with another exponent")
	}
	other := &rsa.PublicKey{N: new(big.Int).Add(key.N, big.NewInt(2)), E: 65537}
	if l.Has(other) {
		t.Error("found another key")
	}
	find := weakkeys.Finder(read(t, "00005890bc78bcbee3ca\n"), l)
	if got := find(key); got != "list.txt" {
		t.Errorf("found in %q, want list.txt", got)
	}
	if got := find(other); got != "" {
		t.Errorf("found %q, want nothing", got)
	}
	if got := weakkeys.Finder()(key); got != "" {
		t.Errorf("no list has %q", got)
	}
}

// TestFingerprintIsOpenSSLs compares with what the authors of such lists run.
func TestFingerprintIsOpenSSLs(t *testing.T) {
	t.Parallel()
	openssl, err := exec.LookPath("openssl")
	if err != nil {
		t.Skip("openssl is not installed")
	}
	spki, err := x509.MarshalPKIXPublicKey(debianKey(t))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), openssl, "rsa", "-pubin", "-noout", "-modulus")
	cmd.Stdin = strings.NewReader(string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: spki})))
	printed, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprintf("%x", sha1.Sum(printed)); got != debianSHA1 {
		t.Errorf("openssl prints what has SHA-1 %s, want %s", got, debianSHA1)
	}
}

func TestKeysAreFoundBySHA256(t *testing.T) {
	t.Parallel()
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ed, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	point, err := ec.PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	spki := func(pub crypto.PublicKey) []byte {
		der, err := x509.MarshalPKIXPublicKey(pub)
		if err != nil {
			t.Fatal(err)
		}
		return der
	}
	rsaKey := debianKey(t)
	for name, tt := range map[string]struct {
		key    crypto.PublicKey
		listed []byte
	}{
		"RSA modulus": {rsaKey, rsaKey.N.Bytes()}, "RSA SPKI": {rsaKey, spki(rsaKey)},
		"EC X coordinate": {ec.Public(), point[1:33]}, "EC SPKI": {ec.Public(), spki(ec.Public())}, "Ed25519 SPKI": {ed, spki(ed)},
	} {
		sum := sha256.Sum256(tt.listed)
		l := read(t, strings.ToUpper(hex.EncodeToString(sum[:]))+"\r\n\n")
		if !l.Has(tt.key) {
			t.Errorf("%s: not found", name)
		}
		sum[0] ^= 1
		if read(t, hex.EncodeToString(sum[:])).Has(tt.key) {
			t.Errorf("%s: found by another hash", name)
		}
	}
	if l := read(t, strings.Repeat("ab", 10)); l.Has(nil) || l.Has(1) {
		t.Error("found what is no key")
	}
}

func TestReadRefuses(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct{ text, want string }{
		"nothing":            {"", "no fingerprint"},
		"comments alone":     {"# a\n\n", "no fingerprint"},
		"19 digits":          {"# a\n" + strings.Repeat("a", 19), `list.txt:2: "aaaaaaaaaaaaaaaaaaa", want 20`},
		"no digits":          {strings.Repeat("x", 20), "list.txt:1"},
		"two on a line":      {strings.Repeat("a", 20) + " " + strings.Repeat("b", 20), "list.txt:1"},
		"a whole SHA-1":      {debianSHA1, "want 20 hexadecimal digits"},
		"a line without end": {strings.Repeat("a", 1<<20), "more than 200 octets"},
		"binary":             {"\x7fELF\x00\x01", "list.txt:1"},
	} {
		if _, err := weakkeys.Read(strings.NewReader(tt.text), "list.txt"); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want %q", name, err, tt.want)
		}
	}
}

func FuzzRead(f *testing.F) {
	f.Add([]byte("# a\n" + debianSHA1[20:] + "\n"))
	f.Add([]byte(strings.Repeat("ab", 32)))
	f.Add([]byte("\x00"))
	key := debianKey(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		l, err := weakkeys.Read(strings.NewReader(string(data)), "list.txt")
		if err == nil && l.Has(key) && !strings.Contains(strings.ToLower(string(data)), debianSHA1[20:]) && len(data) < 64 {
			t.Errorf("%q has the key", data)
		}
	})
}

func BenchmarkHas(b *testing.B) {
	var text strings.Builder
	for i := range 500_000 {
		sum := sha256.Sum256([]byte{byte(i), byte(i >> 8), byte(i >> 16)})
		fmt.Fprintf(&text, "%x\n", sum[:10])
	}
	l, key := read(b, text.String()), debianKey(b)
	for b.Loop() {
		if l.Has(key) {
			b.Fatal("found")
		}
	}
}
