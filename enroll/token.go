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
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"

	"github.com/payca/payca/enroll/strictjson"
	"github.com/payca/payca/policy"
)

// maxToken is the size of the longest token in bytes.
const maxToken = 8 << 10

// tokenLeeway is how far ahead the clock of the CA node that made a token may be.
const tokenLeeway = time.Minute

// signPath follows the CA's URL in the audience of a token, as step has it.
const signPath = "/1.0/sign"

// A Token is a one-time right to enroll, and all that a party needs to use it.
type Token struct {
	ID              string    // made up by the CA
	Party           string    // who may enroll
	Role            string    // the role of the party, may be empty
	Profile         string    // the profile of the certificate, may be empty
	Network         string    // the network of the CA
	URL             string    // of the CA: https://HOST[:PORT]
	RootFingerprint string    // SHA-256 of the root's DER, 64 hexadecimal digits
	DNSNames        []string  // DNS names and IP addresses to ask for
	RequestHash     string    // [RequestHash] of the only request that may be made with it, "" for any
	KeyHash         string    // [KeyHash] of the only key that it is for, "" for any
	IssuedAt        time.Time // whole seconds
	NotAfter        time.Time // whole seconds
}

// A TokenError refuses a token. Rule is one of token-size, token-form, token-header, token-key,
// token-signature, token-claim, token-time and token-binding.
type TokenError struct {
	Rule string // stable name
	Got  string // what was found
	Want string // what would be accepted
}

// Error renders the refusal on one line.
func (e *TokenError) Error() string { return e.Rule + ": token has " + e.Got + ", want " + e.Want }

// tokenHeader is the header of a token; a member that is not here is refused.
type tokenHeader struct {
	Algorithm string `json:"alg"`
	KeyID     string `json:"kid"`
	Type      string `json:"typ"`
}

// tokenClaims is the payload of a token.
type tokenClaims struct {
	Issuer      string   `json:"iss"`
	Audience    string   `json:"aud"`
	Subject     string   `json:"sub"`
	Names       []string `json:"sans"`
	Fingerprint string   `json:"sha"`
	ID          string   `json:"jti"`
	NotBefore   int64    `json:"nbf"`
	IssuedAt    int64    `json:"iat"`
	Expires     int64    `json:"exp"`
	Network     string   `json:"network"`
	Role        string   `json:"role,omitempty"`
	Profile     string   `json:"profile,omitempty"`
	Binding     *binding `json:"cnf,omitempty"`
}

// SignToken writes a token and signs it with key, which must be P-256.
func SignToken(t Token, key crypto.Signer) (string, error) {
	public, err := tokenKey(key.Public())
	if err != nil {
		return "", err
	}
	kid, err := KeyHash(public)
	if err != nil {
		return "", err
	}
	header, err := json.Marshal(tokenHeader{Algorithm: "ES256", KeyID: kid, Type: "JWT"})
	if err != nil {
		return "", err
	}
	names := t.DNSNames
	if names == nil {
		names = []string{}
	}
	claims := tokenClaims{
		Issuer: "payca", Audience: t.URL + signPath, Subject: t.Party, Names: names,
		Fingerprint: t.RootFingerprint, ID: t.ID,
		NotBefore: t.IssuedAt.Unix(), IssuedAt: t.IssuedAt.Unix(), Expires: t.NotAfter.Unix(),
		Network: t.Network, Role: t.Role, Profile: t.Profile, Binding: t.binding(),
	}
	if _, err := claims.token(); err != nil {
		return "", err
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		return "", err
	}
	signed := encode(header) + "." + encode(payload)
	digest := sha256.Sum256([]byte(signed))
	der, err := key.Sign(rand.Reader, digest[:], crypto.SHA256)
	if err != nil {
		return "", fmt.Errorf("signing token: %w", err)
	}
	signature, err := rawSignature(der)
	if err != nil {
		return "", err
	}
	text := signed + "." + encode(signature)
	if len(text) > maxToken {
		return "", tokenSize(text)
	}
	return text, nil
}

// ReadToken reads a token without verifying it: for the party that was given it, whose trust
// is in the giver. The error is a *[TokenError].
func ReadToken(text string) (Token, error) {
	_, claims, _, err := splitToken(text)
	if err != nil {
		return Token{}, err
	}
	return claims.token()
}

// VerifyToken reads a token that key, a *ecdsa.PublicKey on P-256, signed and that is valid at now.
// Whether it was used before, and whether it is for this CA, is for the caller
// to ask. The error is a *[TokenError].
func VerifyToken(text string, key crypto.PublicKey, now time.Time) (Token, error) {
	header, claims, signature, err := splitToken(text)
	if err != nil {
		return Token{}, err
	}
	public, err := tokenKey(key)
	if err != nil {
		return Token{}, err
	}
	kid, err := KeyHash(public)
	if err != nil {
		return Token{}, err
	}
	if header.KeyID != kid {
		return Token{}, &TokenError{"token-key", fmt.Sprintf("key id %.64q", header.KeyID), fmt.Sprintf("%q", kid)}
	}
	r, s := new(big.Int).SetBytes(signature[:32]), new(big.Int).SetBytes(signature[32:])
	digest := sha256.Sum256([]byte(text[:strings.LastIndexByte(text, '.')]))
	if !ecdsa.Verify(public, digest[:], r, s) {
		return Token{}, &TokenError{"token-signature", "a signature that does not verify", "one by the token key of this CA"}
	}
	return claims.valid(now)
}

// CheckToken is [VerifyToken] for who knows in another way that the CA made exactly this text: everything but the signature.
func CheckToken(text string, now time.Time) (Token, error) {
	_, claims, _, err := splitToken(text)
	if err != nil {
		return Token{}, err
	}
	return claims.valid(now)
}

// valid is the token of the claims, if it is valid now.
func (c tokenClaims) valid(now time.Time) (Token, error) {
	t, err := c.token()
	if err != nil {
		return Token{}, err
	}
	if now.After(t.NotAfter) || now.Before(time.Unix(c.NotBefore, 0).Add(-tokenLeeway)) {
		return Token{}, &TokenError{
			"token-time", "validity " + stamp(time.Unix(c.NotBefore, 0)) + " to " + stamp(t.NotAfter), "a token valid at " + stamp(now),
		}
	}
	return t, nil
}

// NewTokenID returns a random token id of 128 bits or more.
func NewTokenID() string { return strings.ToLower(rand.Text()) }

// Fingerprint returns the SHA-256 fingerprint of a certificate as tokens have it.
func Fingerprint(cert *x509.Certificate) string {
	sum := sha256.Sum256(cert.Raw)
	return hex.EncodeToString(sum[:])
}

// splitToken takes a token apart and refuses every algorithm but ES256.
func splitToken(text string) (header tokenHeader, claims tokenClaims, signature []byte, err error) {
	if len(text) > maxToken {
		return header, claims, nil, tokenSize(text)
	}
	parts := strings.SplitN(text, ".", 4)
	if len(parts) != 3 {
		return header, claims, nil, &TokenError{"token-form", "other than 3 parts", "header.payload.signature (RFC 7515 section 3.1)"}
	}
	if err := decodePart("token-header", parts[0], &header); err != nil {
		return header, claims, nil, err
	}
	if header.Algorithm != "ES256" || header.Type != "JWT" {
		return header, claims, nil, &TokenError{
			"token-header", fmt.Sprintf("algorithm %.16q, type %.16q", header.Algorithm, header.Type), `"ES256", "JWT"`,
		}
	}
	if err := decodePart("token-claim", parts[1], &claims); err != nil {
		return header, claims, nil, err
	}
	signature, err = decode(parts[2])
	if err != nil || len(signature) != 64 {
		return header, claims, nil, &TokenError{"token-signature", "a malformed signature", "64 bytes of base64url"}
	}
	return header, claims, signature, nil
}

func decodePart(rule, part string, v any) error {
	data, err := decode(part)
	if err != nil {
		return &TokenError{"token-form", "a part that is not base64url", "base64url without padding"}
	}
	if err := strictjson.Unmarshal(data, v); err != nil {
		if e, ok := errors.AsType[*strictjson.Error](err); ok {
			return &TokenError{rule, e.Field + ": " + e.Got, e.Want}
		}
		return err
	}
	return nil
}

// token checks the claims that both ends act on.
func (c tokenClaims) token() (Token, error) {
	base, ok := strings.CutSuffix(c.Audience, signPath)
	_, urlErr := parseURL(base)
	root, hexErr := hex.DecodeString(c.Fingerprint)
	refuse := func(got, want string) (Token, error) { return Token{}, &TokenError{"token-claim", got, want} }
	switch {
	case !ok || urlErr != nil:
		return refuse(fmt.Sprintf("aud %.64q", c.Audience), "https://HOST[:PORT]"+signPath)
	case hexErr != nil || len(root) != sha256.Size || c.Fingerprint != strings.ToLower(c.Fingerprint):
		return refuse(fmt.Sprintf("sha %.80q", c.Fingerprint), "the SHA-256 of the root in 64 lower-case hexadecimal digits")
	case !isLabel(c.ID):
		return refuse(fmt.Sprintf("jti %.64q", c.ID), "1 to 64 letters, digits, hyphens and underscores")
	case c.Profile != "" && !isLabel(c.Profile):
		return refuse(fmt.Sprintf("profile %.64q", c.Profile), "the name of a profile")
	case c.Role != "" && policy.Role(c.Role).CA() == "":
		return refuse(fmt.Sprintf("role %.64q", c.Role), "a role")
	case slices.ContainsFunc(c.Names, notName):
		return refuse("a name in sans that is malformed", "DNS names and IP addresses")
	case !c.Binding.valid():
		return refuse("a malformed cnf", "x5rt#S256 or jkt, of 43 characters of base64url (RFC 7800)")
	case policy.CheckPartyID(c.Subject) != nil:
		return refuse(fmt.Sprintf("sub %.64q", c.Subject), "a party id")
	case policy.CheckNetworkName(c.Network) != nil:
		return refuse(fmt.Sprintf("network %.64q", c.Network), "the name of a network")
	case c.NotBefore <= 0 || c.IssuedAt <= 0 || c.Expires <= max(c.NotBefore, c.IssuedAt) || c.Expires > maxUnix:
		return refuse("nbf, iat or exp out of order", "seconds since 1970, exp after the others")
	}
	t := Token{
		ID: c.ID, Party: c.Subject, Role: c.Role, Profile: c.Profile, Network: c.Network, URL: base,
		RootFingerprint: c.Fingerprint, DNSNames: c.Names,
		IssuedAt: time.Unix(c.IssuedAt, 0).UTC(), NotAfter: time.Unix(c.Expires, 0).UTC(),
	}
	if c.Binding != nil {
		t.RequestHash, t.KeyHash = c.Binding.Request, c.Binding.Key
	}
	return t, nil
}

// isLabel accepts what can be shown and stored anywhere: [A-Za-z0-9_-]{1,64}.
func isLabel(s string) bool {
	return s != "" && len(s) <= 64 && !strings.ContainsFunc(s, func(r rune) bool {
		return !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || r == '-' || r == '_')
	})
}

func notName(s string) bool {
	_, err := netip.ParseAddr(s)
	return err != nil && policy.CheckDNSName(s) != nil
}

// maxUnix is the last second of the year 9999, the last that a certificate can name.
const maxUnix = 253402300799

func tokenSize(text string) error {
	return &TokenError{"token-size", fmt.Sprintf("%d bytes", len(text)), fmt.Sprintf("at most %d", maxToken)}
}

func tokenKey(key crypto.PublicKey) (*ecdsa.PublicKey, error) {
	public, ok := key.(*ecdsa.PublicKey)
	if !ok || public.Curve != elliptic.P256() {
		return nil, &TokenError{"token-key", "a key of " + policy.DescribeKey(key), "P-256"}
	}
	return public, nil
}

// rawSignature turns the DER of an ECDSA signature into r and s of 32 bytes each (RFC 7518 section 3.4).
func rawSignature(der []byte) ([]byte, error) {
	var r, s big.Int
	input := cryptobyte.String(der)
	var inner cryptobyte.String
	if !input.ReadASN1(&inner, asn1.SEQUENCE) || !input.Empty() ||
		!inner.ReadASN1Integer(&r) || !inner.ReadASN1Integer(&s) || !inner.Empty() ||
		r.Sign() <= 0 || s.Sign() <= 0 || r.BitLen() > 256 || s.BitLen() > 256 {
		return nil, errors.New("signing token: the key returned no P-256 signature")
	}
	raw := make([]byte, 64)
	r.FillBytes(raw[:32])
	s.FillBytes(raw[32:])
	return raw, nil
}

var base64url = base64.RawURLEncoding.Strict()

func encode(data []byte) string { return base64url.EncodeToString(data) }

// decode refuses line breaks, which encoding/base64 skips.
func decode(text string) ([]byte, error) {
	if strings.ContainsAny(text, "\r\n") {
		return nil, errors.New("line break in base64url")
	}
	return base64url.DecodeString(text)
}

// parseURL reads the URL of a CA: https://HOST[:PORT] and nothing more.
func parseURL(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	if err != nil || text != "https://"+u.Host || notName(u.Hostname()) {
		return nil, fmt.Errorf("CA URL %.100q, want https://HOST[:PORT]", text)
	}
	return u, nil
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }
