package policy_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/payca/payca/policy"
)

func voter(t testing.TB, key crypto.Signer) *x509.Certificate {
	t.Helper()
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "op1"}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

func ecKey(t testing.TB, curve elliptic.Curve) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

var statement = policy.VoteStatement{
	Network: "pay.example", Digest: digest, Approve: true, Approver: "spiffe://operator.pay.example/op1", Reason: "known <us> & good",
	At: time.Date(2026, 11, 23, 1, 25, 2, 0, time.UTC),
}

func signVote(t testing.TB, cert *x509.Certificate, key crypto.Signer) string {
	t.Helper()
	object, err := policy.SignVote(statement, cert, key)
	if err != nil {
		t.Fatal(err)
	}
	return object
}

func TestAVoteIsSignedByEveryKindOfKey(t *testing.T) {
	t.Parallel()
	_, edwards, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	for alg, key := range map[string]crypto.Signer{"ES256": ecKey(t, elliptic.P256()), "ES384": ecKey(t, elliptic.P384()), "EdDSA": edwards, "PS256": rsaKey} {
		cert := voter(t, key)
		object := signVote(t, cert, key)
		got, err := policy.VerifyVote(object, cert)
		if err != nil || got != statement {
			t.Errorf("%s: got %+v, %v, want %+v", alg, got, err, statement)
		}
		header, _, _ := strings.Cut(object, ".")
		if raw, err := base64.RawURLEncoding.DecodeString(header); err != nil || !strings.HasPrefix(string(raw), `{"alg":"`+alg+`","typ":"payca-vote+jws","x5t#S256":"`) {
			t.Errorf("got header %s, %v, want alg %s", raw, err, alg)
		}
		if _, err := policy.VerifyVote(object, voter(t, ecKey(t, elliptic.P256()))); err == nil {
			t.Errorf("%s: got nil by another certificate", alg)
		}
	}
	key := ecKey(t, elliptic.P521())
	if _, err := policy.SignVote(statement, voter(t, key), key); err == nil || !strings.Contains(err.Error(), "want P-256, P-384, Ed25519 or RSA") {
		t.Errorf("got %v for P-521, want what would be right", err)
	}
}

func TestAVoteThatWasChangedIsRefused(t *testing.T) {
	t.Parallel()
	key := ecKey(t, elliptic.P256())
	cert := voter(t, key)
	object := signVote(t, cert, key)
	for i := range len(object) {
		for _, c := range []byte("A_.") {
			changed := []byte(object)
			if changed[i] == c {
				continue
			}
			changed[i] = c
			if s, err := policy.VerifyVote(string(changed), cert); err == nil {
				t.Fatalf("octet %d as %q: got %+v, want a refusal", i, c, s)
			} else if policy.ViolationsOf(err) == nil {
				t.Fatalf("octet %d as %q: got %v, want a violation", i, c, err)
			}
		}
	}
}

// resign makes a vote of other bytes that the key has signed, as a careless or hostile signer could.
func resign(t testing.TB, key *ecdsa.PrivateKey, header, payload string) string {
	t.Helper()
	text := base64.RawURLEncoding.EncodeToString([]byte(header)) + "." + base64.RawURLEncoding.EncodeToString([]byte(payload))
	h := crypto.SHA256.New()
	h.Write([]byte(text))
	r, s, err := ecdsa.Sign(rand.Reader, key, h.Sum(nil))
	if err != nil {
		t.Fatal(err)
	}
	raw := make([]byte, 64)
	r.FillBytes(raw[:32])
	s.FillBytes(raw[32:])
	return text + "." + base64.RawURLEncoding.EncodeToString(raw)
}

func TestAVoteHasOneForm(t *testing.T) {
	t.Parallel()
	key := ecKey(t, elliptic.P256())
	cert := voter(t, key)
	parts := strings.Split(signVote(t, cert, key), ".")
	decode := func(part string) string {
		raw, err := base64.RawURLEncoding.DecodeString(part)
		if err != nil {
			t.Fatal(err)
		}
		return string(raw)
	}
	header, payload := decode(parts[0]), decode(parts[1])
	if _, err := policy.VerifyVote(resign(t, key, header, payload), cert); err != nil {
		t.Fatalf("got %v for the bytes as they are", err)
	}
	for name, tt := range map[string][2]string{
		"alg none":                      {strings.Replace(header, "ES256", "none", 1), payload},
		"alg HS256":                     {strings.Replace(header, "ES256", "HS256", 1), payload},
		"alg of another curve":          {strings.Replace(header, "ES256", "ES384", 1), payload},
		"another type":                  {strings.Replace(header, "payca-vote+jws", "JWT", 1), payload},
		"a member that is not known":    {header, strings.Replace(payload, "{", `{"also":1,`, 1)},
		"a member twice":                {header, strings.Replace(payload, "{", `{"approve":true,`, 1)},
		"a member in another case":      {header, strings.Replace(payload, `"approve"`, `"Approve"`, 1)},
		"space":                         {header, payload + " "},
		"data after the end":            {header, payload + "{}"},
		"a time in another form":        {header, strings.Replace(payload, "01:25:02Z", "01:25:02+00:00", 1)},
		"a header with a member twice":  {strings.Replace(header, "{", `{"alg":"none",`, 1), payload},
		"a header with a critical part": {strings.Replace(header, "{", `{"crit":["b64"],`, 1), payload},
		"nothing":                       {"", ""},
		"a payload over all measure":    {header, strings.Replace(payload, "known", strings.Repeat("x", 9<<10), 1)},
	} {
		if s, err := policy.VerifyVote(resign(t, key, tt[0], tt[1]), cert); err == nil {
			t.Errorf("%s: got %+v, want a refusal", name, s)
		}
	}
}

func FuzzVerifyVote(f *testing.F) {
	key := ecKey(f, elliptic.P256())
	cert := voter(f, key)
	object := signVote(f, cert, key)
	f.Add(object)
	f.Add(strings.Replace(object, ".", "..", 1))
	f.Add("e30.e30.")
	f.Fuzz(func(t *testing.T, text string) {
		s, err := policy.VerifyVote(text, cert)
		if err == nil && (text != object || s != statement) {
			t.Errorf("got %+v from %q, want nothing that the key did not sign", s, text)
		}
		if err != nil && policy.ViolationsOf(err) == nil {
			t.Errorf("got %v, want a violation", err)
		}
		if _, err := json.Marshal(s); err != nil {
			t.Error(err)
		}
	})
}
