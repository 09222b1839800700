package enroll

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"fmt"
	"math/big"

	"github.com/payca/payca/policy"
)

// A binding is the claim cnf of a token (RFC 7800): what else the party must show. The names are those of step for a
// request, and of RFC 9449 section 6.1 for a key.
type binding struct {
	Request string `json:"x5rt#S256,omitempty"`
	Key     string `json:"jkt,omitempty"`
}

func (t Token) binding() *binding {
	if t.RequestHash == "" && t.KeyHash == "" {
		return nil
	}
	return &binding{Request: t.RequestHash, Key: t.KeyHash}
}

func (b *binding) valid() bool {
	if b == nil {
		return true
	}
	for _, text := range []string{b.Request, b.Key} {
		if raw, err := decode(text); text != "" && (err != nil || len(raw) != sha256.Size) {
			return false
		}
	}
	return b.Request != "" || b.Key != ""
}

// RequestHash returns the SHA-256 of a request (PKCS#10, DER) in base64url.
func RequestHash(csr []byte) string {
	sum := sha256.Sum256(csr)
	return encode(sum[:])
}

// KeyHash returns the thumbprint of a public key as a JWK (RFC 7638, RFC 8037), SHA-256 in base64url.
func KeyHash(public crypto.PublicKey) (string, error) {
	jwk := ""
	switch key := public.(type) {
	case *ecdsa.PublicKey:
		point, err := key.Bytes() // 4, x, y
		if err != nil {
			return "", fmt.Errorf("thumbprint of a key: %w", err)
		}
		name := map[elliptic.Curve]string{elliptic.P256(): "P-256", elliptic.P384(): "P-384", elliptic.P521(): "P-521"}[key.Curve]
		half := len(point) / 2
		jwk = `{"crv":"` + name + `","kty":"EC","x":"` + encode(point[1:1+half]) + `","y":"` + encode(point[1+half:]) + `"}`
	case *rsa.PublicKey:
		jwk = `{"e":"` + encode(big.NewInt(int64(key.E)).Bytes()) + `","kty":"RSA","n":"` + encode(key.N.Bytes()) + `"}`
	case ed25519.PublicKey:
		jwk = `{"crv":"Ed25519","kty":"OKP","x":"` + encode(key) + `"}`
	default:
		return "", fmt.Errorf("thumbprint of a key: got %s, want ECDSA, RSA or Ed25519", policy.DescribeKey(public))
	}
	sum := sha256.Sum256([]byte(jwk))
	return encode(sum[:]), nil
}

// Admits refuses, before the CA does, a request or key that the token is not for. The error is a *[TokenError].
func (t Token) Admits(csr []byte, public crypto.PublicKey) error {
	if got := RequestHash(csr); t.RequestHash != "" && got != t.RequestHash {
		return &TokenError{"token-binding", "a binding to request " + t.RequestHash, got + ", the request at hand"}
	}
	if t.KeyHash == "" {
		return nil
	}
	got, err := KeyHash(public)
	if err != nil {
		return err
	}
	if got != t.KeyHash {
		return &TokenError{"token-binding", "a binding to key " + t.KeyHash, got + ", the key at hand"}
	}
	return nil
}
