package payment_test

import (
	"encoding/base64"
	"strings"
	"testing"

	jose "github.com/go-jose/go-jose/v4"

	"github.com/payca/payca/payment"
)

// TestSealedObjectsAreReadByGoJose reads with one implementation what the other sealed.
func TestSealedObjectsAreReadByGoJose(t *testing.T) {
	t.Parallel()
	c := newCast(t)
	plain := []byte(`{"a":"secret"}`)
	sealed, err := payment.Seal(payment.KindExpect, c.confirmer.cert, plain)
	if err != nil {
		t.Fatal(err)
	}
	if to, err := payment.SealedTo(payment.KindExpect, sealed); err != nil || to != c.confirmer.thumbprint() {
		t.Errorf("SealedTo: got %q, %v", to, err)
	}
	parsed, err := jose.ParseEncryptedCompact(string(sealed), []jose.KeyAlgorithm{jose.ECDH_ES}, []jose.ContentEncryption{jose.A256GCM})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := parsed.Decrypt(c.confirmer.key); err != nil || string(got) != string(plain) {
		t.Errorf("go-jose read %q, %v", got, err)
	}
	// And the other way round, with the members of its header in its own order.
	encrypter, err := jose.NewEncrypter(jose.A256GCM, jose.Recipient{Algorithm: jose.ECDH_ES, Key: c.confirmer.key.Public(), KeyID: c.confirmer.thumbprint()},
		(&jose.EncrypterOptions{}).WithType("pay-expect+jwe"))
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := encrypter.Encrypt(plain)
	if err != nil {
		t.Fatal(err)
	}
	text, err := theirs.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	if got, err := payment.Unseal(payment.KindExpect, payment.Sealed(text), c.confirmer.ecdh(t)); err != nil || string(got) != string(plain) {
		t.Errorf("reading what go-jose sealed: got %q, %v", got, err)
	}
}

// TestTheKeyDerivationDependsOnEveryPart starts from the secret of RFC 7518 appendix C, whose key is shorter than ours; that the
// derivation is right is proved by the other implementation above.
func TestTheKeyDerivationDependsOnEveryPart(t *testing.T) {
	t.Parallel()
	z := []byte{158, 86, 217, 29, 129, 113, 53, 211, 114, 131, 66, 131, 191, 132, 38, 156, 251, 49, 110, 163, 218, 128, 106, 72, 246, 218, 167, 121, 140, 254, 144, 196}
	seen := map[[32]byte]string{}
	for name, key := range map[string][32]byte{
		"as in appendix C":  payment.ConcatKDF(z, "A128GCM", []byte("Alice"), []byte("Bob")),
		"another algorithm": payment.ConcatKDF(z, "A256GCM", []byte("Alice"), []byte("Bob")),
		"another sender":    payment.ConcatKDF(z, "A128GCM", []byte("Mallory"), []byte("Bob")),
		"another receiver":  payment.ConcatKDF(z, "A128GCM", []byte("Alice"), []byte("Mallory")),
		"another secret":    payment.ConcatKDF(z[1:], "A128GCM", []byte("Alice"), []byte("Bob")),
	} {
		if other, ok := seen[key]; ok {
			t.Errorf("%s and %s give the same key", name, other)
		}
		seen[key] = name
	}
}

func TestWhatIsSealedCannotBeChanged(t *testing.T) {
	t.Parallel()
	c := newCast(t)
	good, err := payment.Seal(payment.KindInstruction, c.gateway.cert, []byte("plain"))
	if err != nil {
		t.Fatal(err)
	}
	head := func(old, new string) func(string) string {
		return func(p string) string {
			raw, _ := base64.RawURLEncoding.DecodeString(p)
			return b64.EncodeToString([]byte(strings.Replace(string(raw), old, new, 1)))
		}
	}
	flip := func(p string) string {
		raw, _ := base64.RawURLEncoding.DecodeString(p)
		raw[0] ^= 1
		return b64.EncodeToString(raw)
	}
	for name, sealed := range map[string]string{
		"another algorithm":         part(string(good), 0, head("ECDH-ES", "RSA-OAEP")),
		"another cipher":            part(string(good), 0, head("A256GCM", "A128GCM")),
		"compression":               part(string(good), 0, head(`"typ"`, `"zip":"DEF","typ"`)),
		"parties' info":             part(string(good), 0, head(`"typ"`, `"apu":"eA","typ"`)),
		"another curve":             part(string(good), 0, head("P-256", "P-384")),
		"a point off the curve":     part(string(good), 0, head(`"x":"`, `"x":"AAAA`)),
		"another typ":               part(string(good), 0, head("pay-pi", "pay-expect")),
		"another thumbprint":        part(string(good), 0, head(c.gateway.thumbprint(), c.issuer.thumbprint())),
		"white space in the header": part(string(good), 0, head("{", "{ ")),
		"an encrypted key":          part(string(good), 1, func(string) string { return "AAAA" }),
		"another nonce":             part(string(good), 2, flip),
		"another text":              part(string(good), 3, flip),
		"another tag":               part(string(good), 4, flip),
		"a shorter tag":             part(string(good), 4, func(p string) string { return p[:16] }),
		"four parts":                strings.Join(strings.Split(string(good), ".")[:4], "."),
		"a million dots":            strings.Repeat(".", 1_000_000),
		"nothing":                   "",
	} {
		if _, err := payment.Unseal(payment.KindInstruction, payment.Sealed(sealed), c.gateway.ecdh(t)); codeOf(err) != payment.BadJWE {
			t.Errorf("%s: got %v, want %s", name, err, payment.BadJWE)
		}
	}
	if _, err := payment.Unseal(payment.KindInstruction, good, c.issuer.ecdh(t)); codeOf(err) != payment.BadJWE {
		t.Errorf("another key: got %v, want %s", err, payment.BadJWE)
	}
	if _, err := payment.Unseal(payment.KindInstruction, good, nil); codeOf(err) != payment.BadJWE {
		t.Errorf("no key: got %v, want %s", err, payment.BadJWE)
	}
	if got, err := payment.Unseal(payment.KindInstruction, good, c.gateway.ecdh(t)); err != nil || string(got) != "plain" {
		t.Errorf("unchanged: got %q, %v", got, err)
	}
}

func FuzzUnseal(f *testing.F) {
	c := newCast(f)
	good, err := payment.Seal(payment.KindInstruction, c.gateway.cert, []byte("plain"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(string(good))
	key := c.gateway.ecdh(f)
	f.Fuzz(func(t *testing.T, text string) {
		if plain, err := payment.Unseal(payment.KindInstruction, payment.Sealed(text), key); err == nil && text != string(good) {
			t.Errorf("%q was read as %q", text, plain)
		}
	})
}
