package enroll

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"net/url"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"golang.org/x/crypto/cryptobyte"
	casn1 "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/payca/payca/enroll/strictjson"
)

// maxToken bounds the length of a token.
const maxToken = 8 << 10

// signPath ends the audience of a token, as step's clients expect it.
const signPath = "/1.0/sign"

// A Token is a one-time right to enroll one party. As text it is a JWT (RFC
// 7519) signed with ES256, with the claims that step's clients read.
type Token struct {
	ID              string // jti
	Party           string // sub
	Role            string
	Profile         string
	Network         string // iss
	URL             string // aud without its path: where the CA is
	RootFingerprint string // sha: hexadecimal SHA-256 of the root certificate
	DNSNames        []string
	IssuedAt        time.Time
	NotAfter        time.Time
}

// claims are the claims of a token.
type claims struct {
	Issuer    string   `json:"iss"`
	Audience  string   `json:"aud"`
	Subject   string   `json:"sub"`
	SANs      []string `json:"sans,omitempty"`
	SHA       string   `json:"sha"`
	ID        string   `json:"jti"`
	NotBefore int64    `json:"nbf"`
	IssuedAt  int64    `json:"iat"`
	Expires   int64    `json:"exp"`
	Role      string   `json:"role"`
	Profile   string   `json:"profile"`
}

// header is the protected header of a token; it has exactly these members.
type header struct {
	Algorithm string `json:"alg"`
	KeyID     string `json:"kid"`
	Type      string `json:"typ"`
}

// A TokenError refuses a token.
type TokenError struct {
	Rule string // "token-form", "token-signature", "token-expired", "token-audience"
	Got  string
	Want string
}

// Error says what was found and what is wanted.
func (e *TokenError) Error() string { return "token: " + e.Got + ", want " + e.Want }

// NewTokenID returns a random token id, 130 bits.
func NewTokenID() string { return strings.ToLower(rand.Text()) }

// Fingerprint returns the hexadecimal SHA-256 of a certificate.
func Fingerprint(c *x509.Certificate) string {
	sum := sha256.Sum256(c.Raw)
	return hex.EncodeToString(sum[:])
}

// keyID is the RFC 7638 thumbprint of a key.
func keyID(public crypto.PublicKey) (string, error) {
	key := jose.JSONWebKey{Key: public}
	sum, err := key.Thumbprint(crypto.SHA256)
	return base64.RawURLEncoding.EncodeToString(sum), err
}

// SignToken writes a token; key is ECDSA P-256.
func SignToken(t Token, key crypto.Signer) (string, error) {
	id, err := keyID(key.Public())
	if err != nil {
		return "", fmt.Errorf("signing a token: %w", err)
	}
	head, err := json.Marshal(header{Algorithm: string(jose.ES256), KeyID: id, Type: "JWT"})
	if err != nil {
		return "", err
	}
	body, err := json.Marshal(claims{
		Issuer: t.Network, Audience: t.URL + signPath, Subject: t.Party, SANs: t.DNSNames, SHA: t.RootFingerprint, ID: t.ID,
		NotBefore: t.IssuedAt.Unix(), IssuedAt: t.IssuedAt.Unix(), Expires: t.NotAfter.Unix(), Role: t.Role, Profile: t.Profile,
	})
	if err != nil {
		return "", err
	}
	input := base64.RawURLEncoding.EncodeToString(head) + "." + base64.RawURLEncoding.EncodeToString(body)
	signature, err := signES256(key, input)
	if err != nil {
		return "", fmt.Errorf("signing a token: %w", err)
	}
	return input + "." + base64.RawURLEncoding.EncodeToString(signature), nil
}

// ReadToken reads what a token says without verifying it: for the client,
// which learns from it where the CA is. *[TokenError].
func ReadToken(text string) (Token, error) {
	_, t, err := readToken(text)
	return t, err
}

func readToken(text string) (header, Token, error) {
	malformed := func(got string) (header, Token, error) {
		return header{}, Token{}, &TokenError{Rule: "token-form", Got: got, Want: "what payca token create prints"}
	}
	if len(text) > maxToken {
		return malformed(fmt.Sprintf("%d characters", len(text)))
	}
	if strings.Count(text, ".") != 2 {
		return malformed("not three parts separated by dots")
	}
	parts := strings.Split(text, ".")
	var h header
	var c claims
	for i, into := range []any{&h, &c} {
		raw, err := base64.RawURLEncoding.Strict().DecodeString(parts[i])
		if err != nil {
			return malformed("a part that is not base64url")
		}
		if err := strictjson.Decode(raw, into); err != nil {
			return malformed(err.Error())
		}
	}
	base, found := strings.CutSuffix(c.Audience, signPath)
	u, err := url.Parse(base)
	if !found || err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" || strings.Trim(u.Path, "/") != "" {
		return malformed(fmt.Sprintf("audience %q", c.Audience))
	}
	if sum, err := hex.DecodeString(c.SHA); err != nil || len(sum) != sha256.Size {
		return malformed(fmt.Sprintf("root fingerprint %q", c.SHA))
	}
	if c.Subject == "" || c.ID == "" || c.Issuer == "" {
		return malformed("no party, id or network")
	}
	return h, Token{
		ID: c.ID, Party: c.Subject, Role: c.Role, Profile: c.Profile, Network: c.Issuer, URL: base, RootFingerprint: c.SHA,
		DNSNames: c.SANs, IssuedAt: time.Unix(c.IssuedAt, 0).UTC(), NotAfter: time.Unix(c.Expires, 0).UTC(),
	}, nil
}

// VerifyToken checks form, key, algorithm, signature and time of a token, and
// returns what it says. That it is used once is for the gate to see to. *[TokenError].
func VerifyToken(text string, key crypto.PublicKey, now time.Time) (Token, error) {
	h, t, err := readToken(text)
	if err != nil {
		return Token{}, err
	}
	public, ok := key.(*ecdsa.PublicKey)
	if !ok || public.Curve != elliptic.P256() {
		return Token{}, fmt.Errorf("verifying tokens with %T, want ECDSA P-256", key)
	}
	id, err := keyID(key)
	if err != nil {
		return Token{}, err
	}
	if h.Algorithm != string(jose.ES256) || h.KeyID != id {
		return Token{}, &TokenError{Rule: "token-signature", Got: fmt.Sprintf("algorithm %q, key %q", h.Algorithm, h.KeyID), Want: "ES256 and the key of this CA"}
	}
	parsed, err := jose.ParseSignedCompact(text, []jose.SignatureAlgorithm{jose.ES256})
	if err == nil {
		_, err = parsed.Verify(public)
	}
	if err != nil {
		return Token{}, &TokenError{Rule: "token-signature", Got: "signature does not verify", Want: "a token signed by this CA"}
	}
	if now.Before(t.IssuedAt.Add(-time.Minute)) || !now.Before(t.NotAfter) {
		return Token{}, &TokenError{
			Rule: "token-expired", Got: fmt.Sprintf("token %s is valid from %s to %s", t.ID, t.IssuedAt.Format(time.RFC3339), t.NotAfter.Format(time.RFC3339)),
			Want: "one that is valid now",
		}
	}
	return t, nil
}

// signES256 signs as RFC 7518 section 3.4 has it: r and s, 32 octets each.
func signES256(key crypto.Signer, input string) ([]byte, error) {
	sum := sha256.Sum256([]byte(input))
	der, err := key.Sign(rand.Reader, sum[:], crypto.SHA256)
	if err != nil {
		return nil, err
	}
	return joinSignature(der)
}

// joinSignature turns a DER ECDSA signature into r and s, 32 octets each.
func joinSignature(der []byte) ([]byte, error) {
	input := cryptobyte.String(der)
	var body cryptobyte.String
	r, s := new(big.Int), new(big.Int)
	if !input.ReadASN1(&body, casn1.SEQUENCE) || !input.Empty() || !body.ReadASN1Integer(r) || !body.ReadASN1Integer(s) || r.BitLen() > 256 || s.BitLen() > 256 {
		return nil, errors.New("the key made no P-256 signature")
	}
	out := make([]byte, 64)
	r.FillBytes(out[:32])
	s.FillBytes(out[32:])
	return out, nil
}
