package ca_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"go.step.sm/crypto/kms/apiv1"

	"github.com/payca/payca/ca"
)

func keyring(t testing.TB, passphrase string) *ca.Keyring {
	t.Helper()
	ring, err := ca.NewKeyring([]byte(passphrase))
	if err != nil {
		t.Fatal(err)
	}
	return ring
}

func writeFile(t testing.TB, name string, data []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestSealedKeysOpen(t *testing.T) {
	t.Parallel()
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	sealing, opening := keyring(t, "open sesame"), keyring(t, "open sesame")
	var salts [][]byte
	for name, key := range map[string]crypto.Signer{"P-256": newKey(t), "Ed25519": ed, "RSA": rsaKey} {
		sealed, err := sealing.Seal(key)
		if err != nil {
			t.Fatal(err)
		}
		got, err := opening.Open(sealed)
		if err != nil {
			t.Fatal(err)
		}
		if !got.Public().(interface{ Equal(crypto.PublicKey) bool }).Equal(key.Public()) {
			t.Errorf("%s: another key came back", name)
		}
		salts = append(salts, saltOf(t, sealed))
	}
	// What was opened first decides the salt of what is sealed next, so that one derivation does for all.
	sealed, err := opening.Seal(ed)
	if err != nil {
		t.Fatal(err)
	}
	for _, salt := range append(salts, saltOf(t, sealed)) {
		if !bytes.Equal(salt, salts[0]) {
			t.Errorf("salt %x, want %x as in all", salt, salts[0])
		}
	}
}

// saltOf finds the salt: the first OCTET STRING of 16 bytes.
func saltOf(t testing.TB, sealed []byte) []byte {
	t.Helper()
	block, _ := pem.Decode(sealed)
	_, after, ok := bytes.Cut(block.Bytes, []byte{4, 16})
	if !ok {
		t.Fatal("no salt")
	}
	return after[:16]
}

func TestWrongPassphraseAndDamagedKeys(t *testing.T) {
	t.Parallel()
	sealed, err := keyring(t, "right").Seal(newKey(t))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := keyring(t, "wrong").Open(sealed); !errors.Is(err, ca.ErrPassphrase) {
		t.Errorf("error %v, want %v", err, ca.ErrPassphrase)
	}
	block, _ := pem.Decode(sealed)
	change := func(from, to []byte) []byte {
		der := bytes.Replace(block.Bytes, from, to, 1)
		if bytes.Equal(der, block.Bytes) {
			t.Fatalf("no %x in the key", from)
		}
		return pem.EncodeToMemory(&pem.Block{Type: block.Type, Bytes: der})
	}
	rounds, err := asn1.Marshal(ca.SealRounds) // of five octets, also with the race detector
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		text []byte
		want string
	}{
		"no PEM":              {[]byte("key"), "want one PEM block"},
		"another PEM type":    {pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: block.Bytes}), "want one PEM block"},
		"two blocks":          {append(bytes.Clone(sealed), sealed...), "want one PEM block"},
		"8,388,607 rounds":    {change(rounds, []byte{2, 3, 0x7f, 0xff, 0xff}), "rounds"},
		"negative rounds":     {change(rounds, []byte{2, 3, 0x80, 0, 0}), "rounds"},
		"another cipher":      {change([]byte{3, 4, 1, 42}, []byte{3, 4, 1, 2}), "want PBES2"},
		"another PRF":         {change([]byte{0x0d, 2, 9}, []byte{0x0d, 2, 7}), "want PBES2"},
		"cut short":           {pem.EncodeToMemory(&pem.Block{Type: block.Type, Bytes: block.Bytes[:40]}), "want PBES2"},
		"empty PEM":           {pem.EncodeToMemory(&pem.Block{Type: block.Type}), "want PBES2"},
		"bytes after the key": {pem.EncodeToMemory(&pem.Block{Type: block.Type, Bytes: append(bytes.Clone(block.Bytes), 0)}), "want PBES2"},
	} {
		if key, err := keyring(t, "right").Open(tt.text); key != nil || err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: error %v, want one that says %q", name, err, tt.want)
		}
	}
	if _, err := ca.NewKeyring(nil); err == nil {
		t.Error("an empty passphrase was taken")
	}
}

func TestOpenSSLReadsSealedKeysAndWeReadItsOwn(t *testing.T) {
	t.Parallel()
	openssl := needTool(t, "openssl")
	key := newKey(t)
	ring := keyring(t, "open sesame")
	sealed, err := ring.Seal(key)
	if err != nil {
		t.Fatal(err)
	}
	path, pass := writeFile(t, "key.pem", sealed), writeFile(t, "passphrase", []byte("open sesame"))
	out, err := exec.CommandContext(t.Context(), openssl, "pkey", "-in", path, "-passin", "file:"+pass).Output()
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(out)
	got, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil || !key.Equal(got.(*ecdsa.PrivateKey)) {
		t.Errorf("openssl reads another key (%v)", err)
	}
	theirs := filepath.Join(t.TempDir(), "theirs.pem")
	cmd := exec.CommandContext(t.Context(), openssl, "pkcs8", "-topk8", "-v2", "aes-256-cbc", "-v2prf", "hmacWithSHA256", "-passout", "file:"+pass, "-out", theirs)
	cmd.Stdin = bytes.NewReader(out)
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	opened, err := ca.OpenKey(t.Context(), theirs, ring)
	if err != nil || !key.Equal(opened) {
		t.Errorf("we read another key than openssl wrote (%v)", err)
	}
}

func TestOpenKeyByURI(t *testing.T) {
	t.Parallel()
	key := newKey(t)
	ring := keyring(t, "open sesame")
	sealed, err := ring.Seal(key)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	clear := writeFile(t, "clear.pem", pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	path := writeFile(t, "sealed.pem", sealed)
	for _, uri := range []string{clear, "file:" + clear, "file://" + clear, path, "file:" + path} {
		got, err := ca.OpenKey(t.Context(), uri, ring)
		if err != nil || !key.Equal(got) {
			t.Errorf("%s: another key (%v)", uri, err)
		}
	}
	for uri, want := range map[string]string{
		"pkcs11:token=payca": `scheme "pkcs11" is not built in, want file`,
		"nonsense:x":         `scheme "nonsense" is not built in`,
		"/no/such/file.pem":  "no such file",
		writeFile(t, "large", make([]byte, 100<<10)):     "larger than",
		writeFile(t, "text", []byte("hello")):            "want PEM",
		writeFile(t, "cert.pem", certificatePEM(t, key)): "cert.pem",
	} {
		if got, err := ca.OpenKey(t.Context(), uri, ring); got != nil || err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want one that says %q", uri, err, want)
		}
	}
	if _, err := ca.OpenKey(t.Context(), path, nil); err == nil || !strings.Contains(err.Error(), "want a passphrase") {
		t.Errorf("error %v, want one that asks for a passphrase", err)
	}
}

func certificatePEM(t testing.TB, key crypto.Signer) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: csr(t, key)})
}

// A drawer is a key manager with one key.
type drawer struct {
	apiv1.KeyManager
	key crypto.Signer
}

func (d drawer) CreateSigner(req *apiv1.CreateSignerRequest) (crypto.Signer, error) {
	if req.SigningKey != "drawer:name=merchant" {
		return nil, errors.New("no such key")
	}
	return d.key, nil
}

func (drawer) Close() error { return nil }

func TestOpenKeyAsksTheKeyManagersThatAreBuiltIn(t *testing.T) {
	t.Parallel()
	key := newKey(t)
	apiv1.Register("drawer", func(context.Context, apiv1.Options) (apiv1.KeyManager, error) { return drawer{key: key}, nil })
	got, err := ca.OpenKey(t.Context(), "drawer:name=merchant", nil)
	if err != nil || !key.Equal(got) {
		t.Errorf("another key (%v)", err)
	}
	if _, err := ca.OpenKey(t.Context(), "drawer:name=bank", nil); err == nil || !strings.Contains(err.Error(), "no such key") {
		t.Errorf("error %v, want the manager's", err)
	}
}

func TestKeysThatCannotBeReadAreNotSealed(t *testing.T) {
	t.Parallel()
	if _, err := keyring(t, "x").Seal(&countingSigner{Signer: newKey(t)}); err == nil {
		t.Error("a key in hardware was sealed")
	}
}

// FuzzOpen looks for a file that panics, or opens as something that is no key.
func FuzzOpen(f *testing.F) {
	ring := keyring(f, "open sesame")
	sealed, err := ring.Seal(newKey(f))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(sealed)
	f.Fuzz(func(t *testing.T, text []byte) {
		key, err := ring.Open(text)
		if (key == nil) == (err == nil) {
			t.Errorf("key %v, error %v", key, err)
		}
	})
}
