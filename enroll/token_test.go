package enroll_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/payca/payca/enroll"
)

var issuedAt = time.Date(2026, 11, 23, 1, 25, 0, 0, time.UTC)

func token() enroll.Token {
	return enroll.Token{
		ID: "9f2c", Party: "shop1", Role: "merchant", Profile: "merchant", Network: "pay.example",
		URL: "https://ca.pay.example:8443", RootFingerprint: strings.Repeat("ab", 32),
		DNSNames: []string{"shop.example.test", "192.0.2.7"},
		IssuedAt: issuedAt, NotAfter: issuedAt.Add(time.Hour),
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func TestATokenReadsAsItWasWritten(t *testing.T) {
	t.Parallel()
	key := newKey(t)
	text := must(enroll.SignToken(token(), key))
	for name, read := range map[string]func() (enroll.Token, error){
		"by the party": func() (enroll.Token, error) { return enroll.ReadToken(text) },
		"by the CA":    func() (enroll.Token, error) { return enroll.VerifyToken(text, key.Public(), issuedAt) },
	} {
		if got, err := read(); err != nil || !reflect.DeepEqual(got, token()) {
			t.Errorf("%s: got %+v, %v, want %+v", name, got, err, token())
		}
	}
}

func TestATokenIsBoundToARequestOrAKey(t *testing.T) {
	t.Parallel()
	signing := newKey(t)
	rsaKey := must(rsa.GenerateKey(rand.Reader, 2048))
	_, edKey, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for name, key := range map[string]crypto.Signer{
		"P-256": newKey(t), "P-384": must(ecdsa.GenerateKey(elliptic.P384(), rand.Reader)), "P-521": must(ecdsa.GenerateKey(elliptic.P521(), rand.Reader)), "RSA": rsaKey, "Ed25519": edKey,
	} {
		csr := must(x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key))
		jwk := jose.JSONWebKey{Key: key.Public()}
		tok := token()
		tok.KeyHash = must(enroll.KeyHash(key.Public()))
		if want := base64.RawURLEncoding.EncodeToString(must(jwk.Thumbprint(crypto.SHA256))); tok.KeyHash != want {
			t.Errorf("%s: got thumbprint %s, want %s", name, tok.KeyHash, want)
		}
		byRequest := token()
		byRequest.RequestHash = enroll.RequestHash(csr)
		for _, want := range []enroll.Token{tok, byRequest} {
			got := must(enroll.VerifyToken(must(enroll.SignToken(want, signing)), signing.Public(), issuedAt))
			if !reflect.DeepEqual(got, want) {
				t.Errorf("%s: got %+v, want %+v", name, got, want)
			}
			if err := got.Admits(csr, key.Public()); err != nil {
				t.Errorf("%s: got %v for what the token is bound to", name, err)
			}
			err := got.Admits(append(csr, 0), signing.Public())
			if refused, ok := errors.AsType[*enroll.TokenError](err); !ok || refused.Rule != "token-binding" {
				t.Errorf("%s: got %v for another request and key, want token-binding", name, err)
			}
		}
	}
	if err := token().Admits(nil, nil); err != nil {
		t.Errorf("got %v for a token that is bound to nothing", err)
	}
	if _, err := enroll.KeyHash(nil); err == nil {
		t.Error("got a thumbprint of no key")
	}
}

func TestATokenIsAnES256JWTWithTheClaimsOfStep(t *testing.T) {
	t.Parallel()
	key := newKey(t)
	jws, err := jose.ParseSignedCompact(must(enroll.SignToken(token(), key)), []jose.SignatureAlgorithm{jose.ES256})
	if err != nil {
		t.Fatal(err)
	}
	payload, err := jws.Verify(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	jwk := jose.JSONWebKey{Key: key.Public()}
	if got, want := jws.Signatures[0].Header.KeyID, base64.RawURLEncoding.EncodeToString(must(jwk.Thumbprint(5))); got != want {
		t.Errorf("got key id %q, want the JWK thumbprint %q", got, want)
	}
	var claims map[string]any
	if err := json.Unmarshal(payload, &claims); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]any{
		"aud": "https://ca.pay.example:8443/1.0/sign", "sub": "shop1", "sha": strings.Repeat("ab", 32), "jti": "9f2c",
		"sans": []any{"shop.example.test", "192.0.2.7"}, "iss": "payca", "network": "pay.example", "role": "merchant",
		"nbf": float64(issuedAt.Unix()), "iat": float64(issuedAt.Unix()), "exp": float64(issuedAt.Unix() + 3600),
	} {
		if !reflect.DeepEqual(claims[name], want) {
			t.Errorf("claim %s: got %v, want %v", name, claims[name], want)
		}
	}
}

// parts are what a forger composes a token from.
func parts(t *testing.T, text string) (header, payload, signature string) {
	t.Helper()
	p := strings.Split(text, ".")
	if len(p) != 3 {
		t.Fatalf("got %d parts, want 3", len(p))
	}
	return p[0], p[1], p[2]
}

func b64(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }

// signES256 signs like SignToken, whatever header and payload say.
func signES256(t *testing.T, header, payload string, key *ecdsa.PrivateKey) string {
	t.Helper()
	signed := b64(header) + "." + b64(payload)
	digest := sha256.Sum256([]byte(signed))
	r, s, err := ecdsa.Sign(rand.Reader, key, digest[:])
	if err != nil {
		t.Fatal(err)
	}
	raw := make([]byte, 64)
	r.FillBytes(raw[:32])
	s.FillBytes(raw[32:])
	return signed + "." + b64(string(raw))
}

// Case 61 as tokens know it: of another key, replayed with another payload, authenticated with a MAC.
func TestTricksWithTokensAreRefused(t *testing.T) {
	t.Parallel()
	key, other := newKey(t), newKey(t)
	good := must(enroll.SignToken(token(), key))
	header, payload, signature := parts(t, good)
	plainHeader := string(must(base64.RawURLEncoding.DecodeString(header)))
	plain := string(must(base64.RawURLEncoding.DecodeString(payload)))
	mac := hmac.New(sha256.New, must(x509.MarshalPKIXPublicKey(key.Public())))
	hs256 := b64(strings.Replace(plainHeader, "ES256", "HS256", 1)) + "." + payload
	mac.Write([]byte(hs256))
	hs256 += "." + b64(string(mac.Sum(nil))+strings.Repeat("x", 32))
	change := func(old, new string) string {
		changed := strings.Replace(plain, old, new, 1)
		if changed == plain {
			t.Fatalf("%q is not in %s", old, plain)
		}
		return signES256(t, plainHeader, changed, key)
	}
	changeHeader := func(old, new string) string {
		return signES256(t, strings.Replace(plainHeader, old, new, 1), plain, key)
	}
	for name, test := range map[string]struct{ text, rule string }{
		"algorithm none":                         {b64(strings.Replace(plainHeader, "ES256", "none", 1)) + "." + payload + ".", "token-header"},
		"algorithm HS256 with the public key":    {hs256, "token-header"},
		"algorithm RS256":                        {changeHeader("ES256", "RS256"), "token-header"},
		"algorithm ES256 in another case":        {changeHeader("ES256", "es256"), "token-header"},
		"an algorithm given twice":               {changeHeader(`{`, `{"alg":"none",`), "token-header"},
		"a key of its own in the header":         {changeHeader(`{`, `{"jwk":{"kty":"EC"},`), "token-header"},
		"a critical extension":                   {changeHeader(`{`, `{"crit":["b64"],"b64":false,`), "token-header"},
		"another key id":                         {changeHeader(`"kid":"`, `"kid":"x`), "token-key"},
		"another key":                            {must(enroll.SignToken(token(), other)), "token-key"},
		"another key under our key id":           {signES256(t, plainHeader, plain, other), "token-signature"},
		"a changed payload":                      {header + "." + b64(strings.Replace(plain, "shop1", "shop2", 1)) + "." + signature, "token-signature"},
		"a signature of zeros":                   {header + "." + payload + "." + b64(strings.Repeat("\x00", 64)), "token-signature"},
		"a signature cut short":                  {header + "." + payload + "." + signature[:80], "token-signature"},
		"a trailing byte":                        {good + "A", "token-signature"},
		"a trailing line break":                  {good + "\n", "token-signature"},
		"a line break within":                    {header + "." + payload[:10] + "\n" + payload[10:] + "." + signature, "token-form"},
		"a trailing part":                        {good + ".x", "token-form"},
		"padding":                                {header + "=." + payload + "." + signature, "token-form"},
		"stray bits at the end of the signature": {header + "." + payload + "." + signature[:85] + string(stray(signature[85])), "token-signature"},
		"a million dots":                         {strings.Repeat(".", 1_000_000), "token-size"},
		"eight thousand dots":                    {strings.Repeat(".", 8000), "token-form"},
		"nothing":                                {"", "token-form"},
		"an unknown claim":                       {change(`{`, `{"azp":"shop2",`), "token-claim"},
		"a binding to nothing":                   {change(`{`, `{"cnf":{},`), "token-claim"},
		"a binding to something unknown":         {change(`{`, `{"cnf":{"x5t#S256":"`+strings.Repeat("A", 43)+`"},`), "token-claim"},
		"a binding to a hash cut short":          {change(`{`, `{"cnf":{"jkt":"`+strings.Repeat("A", 42)+`"},`), "token-claim"},
		"a claim given twice":                    {change(`{`, `{"sub":"shop2",`), "token-claim"},
		"a claim after the payload":              {signES256(t, plainHeader, plain+`{"sub":"shop2"}`, key), "token-claim"},
		"an audience over plain HTTP":            {change("https:", "http:"), "token-claim"},
		"an audience with a user":                {change("https://", "https://a@"), "token-claim"},
		"an audience with another path":          {change("/1.0/sign", "/x/1.0/sign"), "token-claim"},
		"an audience that is a list":             {change(`"https://ca.pay.example:8443/1.0/sign"`, `["https://ca.pay.example:8443/1.0/sign"]`), "token-claim"},
		"a fingerprint cut short":                {change("abab", "ab"), "token-claim"},
		"a fingerprint in upper case":            {change("abab", "ABab"), "token-claim"},
		"a party with a line break":              {change("shop1", `shop1\n`), "token-claim"},
		"an id with an escape":                   {change("9f2c", `\u001b[31m`), "token-claim"},
		"a name with a wildcard":                 {change("shop.example.test", "*.example.test"), "token-claim"},
		"an unknown role":                        {change(`"role":"merchant"`, `"role":"root"`), "token-claim"},
		"an expiry beyond all years":             {change(`"exp":1795400700`, `"exp":9223372036854775807`), "token-claim"},
		"an expiry that is no whole number":      {change(`"exp":1795400700`, `"exp":1e400`), "token-claim"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			start := time.Now()
			_, err := enroll.VerifyToken(test.text, key.Public(), issuedAt)
			refused, ok := errors.AsType[*enroll.TokenError](err)
			if !ok || refused.Rule != test.rule {
				t.Fatalf("got %v, want rule %s", err, test.rule)
			}
			if len(err.Error()) > 500 || strings.ContainsAny(err.Error(), "\r\n\x1b") {
				t.Errorf("got %q, want one short line", err)
			}
			if took := time.Since(start); took > time.Second {
				t.Errorf("refused after %v", took)
			}
		})
	}
}

// stray sets one of the bits of the last character that base64 does not use.
func stray(c byte) byte {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	return alphabet[strings.IndexByte(alphabet, c)|1]
}

func TestATokenIsValidInItsTime(t *testing.T) {
	t.Parallel()
	key := newKey(t)
	text := must(enroll.SignToken(token(), key))
	for name, test := range map[string]struct {
		at time.Time
		ok bool
	}{
		"a minute early, as another node's clock may be": {issuedAt.Add(-time.Minute), true},
		"earlier":                {issuedAt.Add(-time.Minute - time.Second), false},
		"in its last second":     {issuedAt.Add(time.Hour), true},
		"after its last second":  {issuedAt.Add(time.Hour + time.Second), false},
		"in another century yet": {issuedAt.AddDate(-100, 0, 0), false},
	} {
		_, err := enroll.VerifyToken(text, key.Public(), test.at)
		refused, isToken := errors.AsType[*enroll.TokenError](err)
		if test.ok != (err == nil) || !test.ok && (!isToken || refused.Rule != "token-time") {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func TestOnlyP256KeysSignTokens(t *testing.T) {
	t.Parallel()
	p384 := must(ecdsa.GenerateKey(elliptic.P384(), rand.Reader))
	if _, err := enroll.SignToken(token(), p384); err == nil {
		t.Error("P-384: got a token, want a refusal")
	}
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := enroll.SignToken(token(), private); err == nil {
		t.Error("Ed25519: got a token, want a refusal")
	}
	if _, err := enroll.VerifyToken(must(enroll.SignToken(token(), newKey(t))), public, issuedAt); err == nil {
		t.Error("Ed25519: verified a token, want a refusal")
	}
}

func TestSignTokenRefusesWhatReadTokenWould(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(*enroll.Token){
		"no URL":         func(t *enroll.Token) { t.URL = "" },
		"a URL path":     func(t *enroll.Token) { t.URL += "/" },
		"no fingerprint": func(t *enroll.Token) { t.RootFingerprint = "" },
		"no id":          func(t *enroll.Token) { t.ID = "" },
		"no party":       func(t *enroll.Token) { t.Party = "" },
		"no network":     func(t *enroll.Token) { t.Network = "" },
		"no expiry":      func(t *enroll.Token) { t.NotAfter = time.Time{} },
		"too many names": func(t *enroll.Token) {
			for range 500 {
				t.DNSNames = append(t.DNSNames, "shop.example.test")
			}
		},
	} {
		tok := token()
		spoil(&tok)
		if _, err := enroll.SignToken(tok, newKey(t)); err == nil {
			t.Errorf("%s: got a token, want a refusal", name)
		}
	}
}

func FuzzReadToken(f *testing.F) {
	key := newKey(f)
	good := must(enroll.SignToken(token(), key))
	bound := token()
	bound.KeyHash, bound.RequestHash = strings.Repeat("A", 43), strings.Repeat("B", 42)+"A"
	for _, seed := range []string{good, must(enroll.SignToken(bound, key)), good + "A", "..", "e30.e30.e30", strings.Replace(good, ".", "..", 1)} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		tok, err := enroll.ReadToken(text)
		if err != nil {
			if _, ok := errors.AsType[*enroll.TokenError](err); !ok {
				t.Fatalf("got %T %v, want *enroll.TokenError", err, err)
			}
			return
		}
		again, err := enroll.SignToken(tok, key)
		if err != nil {
			t.Fatalf("read %+v, which cannot be signed: %v", tok, err)
		}
		if same, err := enroll.ReadToken(again); err != nil || same.Party != tok.Party || same.URL != tok.URL {
			t.Fatalf("got %+v, %v, want %+v", same, err, tok)
		}
		if v, err := enroll.VerifyToken(text, key.Public(), issuedAt); err == nil && text != good && v.ID != token().ID {
			t.Fatalf("verified %q, which was not signed", text)
		}
	})
}

// newKey makes a P-256 key.
func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}
