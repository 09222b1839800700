package policy_test

import (
	"crypto"
	"crypto/dsa" //lint:ignore SA1019 a request may hold a DSA key, which is refused by name
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"math/big"
	"testing"

	"github.com/payca/payca/policy"
)

// evenKey is an RSA key with a modulus that is a power of two.
func evenKey() *rsa.PublicKey {
	return &rsa.PublicKey{N: new(big.Int).Lsh(big.NewInt(1), 2047), E: 65537}
}

// closeKey is (a-b)(a+b) for an a that lies the given number of steps above
// the root of the product.
func closeKey(steps int64) *rsa.PublicKey {
	// With b*b = 2*a*steps, the root of a*a - b*b is close to a - steps.
	a := new(big.Int).Lsh(big.NewInt(3), 1022)
	for a.SetBit(a, 0, 1); ; a.Add(a, big.NewInt(2)) {
		b := new(big.Int).Mul(a, big.NewInt(2*steps))
		b.Sqrt(b)
		b.SetBit(b, 0, 0) // a is odd, so is the product
		n := new(big.Int).Mul(a, a)
		if n.Sub(n, b.Mul(b, b)); !divides(n, 751) {
			return &rsa.PublicKey{N: n, E: 65537}
		}
	}
}

// rocaKey is a published example of CVE-2017-15361.
func rocaKey(t testing.TB) *rsa.PublicKey {
	t.Helper()
	const spki = "MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAlze9c7qGdjDLVR/ntk+4" +
		"ZkfMcYsAnmfTFHfe3Xv7jRQqPCXCULtr0y0jG3aRJmEenoXO9uDveqr43gFB9yvA" +
		"dLEhu0aJqpB7lNZ+yXsvfVp/96dkSN8oWYL/dd9Z7GQOvVniHUY3Xsd7zdw2eYOy" +
		"HSXhhA2Ttwnj3c1jEYfC0y9q1cU99aL0ogGDqolcOvlkJu+mGb+6+WyboFa1gwRu" +
		"kYxBHZWKiHCt/eihvXsPTzTlXmTXWdGJtA1xZDnCBWuZ90b5R0agXVIESTl0cCyH" +
		"aQM/tLZmktJIU+Eu7ALBXemPg9kh3SCnYd3/YvDGCtYSXOWthHwlP5CImRBcQaNn" +
		"cQIDAQAB"
	der, err := base64.StdEncoding.DecodeString(spki)
	if err != nil {
		t.Fatal(err)
	}
	pub, err := x509.ParsePKIXPublicKey(der)
	if err != nil {
		t.Fatal(err)
	}
	return pub.(*rsa.PublicKey)
}

// oddKey has a modulus of that many bits whose factors nobody knows. No prime below 752 is one of them.
func oddKey(t testing.TB, bits int) *rsa.PublicKey {
	t.Helper()
	for {
		n, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), uint(bits-1)))
		if err != nil {
			t.Fatal(err)
		}
		n.SetBit(n, bits-1, 1).SetBit(n, 0, 1)
		if !divides(n, 751) {
			return &rsa.PublicKey{N: n, E: 65537}
		}
	}
}

// divides says whether an odd number from 3 to limit divides n.
func divides(n *big.Int, limit int64) bool {
	for p := int64(3); p <= limit; p += 2 {
		if new(big.Int).Mod(n, big.NewInt(p)).Sign() == 0 {
			return true
		}
	}
	return false
}

// timesPrime is a modulus of 2,048 bits whose least factor is p.
func timesPrime(t testing.TB, p int64) *rsa.PublicKey {
	t.Helper()
	for {
		key := oddKey(t, 2039)
		if key.N.Mul(key.N, big.NewInt(p)); key.N.BitLen() == 2048 {
			return key
		}
	}
}

func fromHex(t testing.TB, text string) []byte {
	t.Helper()
	raw, err := hex.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func edKey(t testing.TB) ed25519.PublicKey {
	t.Helper()
	pub, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return pub
}

// offCurve is a key of P-256 whose point was moved.
func offCurve(t testing.TB) *ecdsa.PublicKey {
	t.Helper()
	key := newKey(t).PublicKey
	//lint:ignore SA1019 what no function of crypto/ecdsa makes
	key.Y = new(big.Int).Add(key.Y, big.NewInt(1))
	return &key
}

func TestKeyRule(t *testing.T) {
	t.Parallel()
	all := policy.KeyRule{Kinds: []string{policy.KeyP256, policy.KeyP384, policy.KeyEd25519, policy.KeyRSA}, RSABits: 3072}
	ec := policy.KeyRule{Kinds: []string{policy.KeyP256, policy.KeyP384}}
	square := new(big.Int).Lsh(big.NewInt(3), 1534)
	for square.SetBit(square, 0, 1); divides(square, 751); square.Add(square, big.NewInt(2)) {
	}
	square.Mul(square, square)
	legacy := all
	legacy.RSABits = 2048
	for _, tt := range []struct {
		name string
		rule policy.KeyRule
		key  crypto.PublicKey
		want string
	}{
		{"P-256", all, newKey(t).Public(), ""},
		{"Ed25519", all, edKey(t), ""},
		{"RSA-3072", all, oddKey(t, 3072), ""},
		{"RSA-8192", all, oddKey(t, 8192), ""},
		{"RSA-2048 where the profile says so", legacy, oddKey(t, 2048), ""},
		{"RSA-3071", all, oddKey(t, 3071), "key-size"},
		{"RSA-2048", all, oddKey(t, 2048), "key-size"},
		{"RSA-8193", all, oddKey(t, 8193), "key-size"},
		{"2 RSA of 3,077 bits, no whole number of octets", all, oddKey(t, 3077), "key-size"},
		{"2 a modulus of 0", legacy, &rsa.PublicKey{N: new(big.Int), E: 65537}, "key-size"},
		{"2 a negative modulus", legacy, &rsa.PublicKey{N: new(big.Int).Neg(oddKey(t, 2048).N), E: 65537}, "key-size"},
		{"2 a modulus that 751 divides", legacy, timesPrime(t, 751), "key-weak"},
		{"2 an exponent of 0", legacy, &rsa.PublicKey{N: oddKey(t, 2048).N}, "key-weak"},
		{"3 a point that is not on P-256", all, offCurve(t), "key-point"},
		//lint:ignore SA1019 what no function of crypto/ecdsa makes
		{"3 the point at infinity", all, &ecdsa.PublicKey{Curve: elliptic.P384(), X: new(big.Int), Y: new(big.Int)}, "key-point"},
		{"3 an Ed25519 point of order 4", all, ed25519.PublicKey(make([]byte, 32)), "key-point"},
		{"3 the neutral Ed25519 point", all, ed25519.PublicKey(append([]byte{1}, make([]byte, 31)...)), "key-point"},
		{"3 an Ed25519 point of order 8", all, ed25519.PublicKey(fromHex(t, "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05")), "key-point"},
		{"3 an Ed25519 point in another encoding", all, ed25519.PublicKey(fromHex(t, "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f")), "key-point"},
		{"3 no Ed25519 point", all, ed25519.PublicKey(fromHex(t, "0200000000000000000000000000000000000000000000000000000000000000")), "key-point"},
		{"3 an Ed25519 key of 31 octets", all, ed25519.PublicKey(make([]byte, 31)), "key-point"},
		{"RSA where only EC is allowed", ec, oddKey(t, 3072), "key-kind"},
		{"Ed25519 where only EC is allowed", ec, edKey(t), "key-kind"},
		{"P-224", all, &ecdsa.PublicKey{Curve: elliptic.P224()}, "key-kind"},
		{"P-521", all, &ecdsa.PublicKey{Curve: elliptic.P521()}, "key-kind"},
		{"X25519", all, new(ecdh.PublicKey), "key-kind"},
		{"no key", all, nil, "key-kind"},
		{"2 an even modulus", legacy, evenKey(), "key-weak"},
		{"5 a ROCA modulus", legacy, rocaKey(t), "key-weak"},
		{"a square modulus", legacy, &rsa.PublicKey{N: square, E: 65537}, "key-weak"},
		{"primes one step apart", legacy, closeKey(1), "key-weak"},
		{"primes ninety steps apart", legacy, closeKey(90), "key-weak"},
		{"factors out of reach", legacy, closeKey(1_000_000), ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			err := tt.rule.Check(tt.key)
			if tt.want == "" && err != nil {
				t.Fatalf("got %v, want no error", err)
			}
			if tt.want != "" {
				wantRules(t, err, tt.want)
			}
		})
	}
}

func TestDescribeKey(t *testing.T) {
	t.Parallel()
	x25519, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for want, key := range map[string]crypto.PublicKey{
		"P-256": newKey(t).Public(), "P-224": &ecdsa.PublicKey{Curve: elliptic.P224()}, "RSA-2048": evenKey(),
		"Ed25519": ed25519.PublicKey(nil), "X25519": x25519.PublicKey(), "DSA": new(dsa.PublicKey), "int": 1,
	} {
		if got := policy.DescribeKey(key); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func BenchmarkKeyRuleRSA3072(b *testing.B) {
	rule := policy.KeyRule{Kinds: []string{policy.KeyRSA}, RSABits: 3072}
	key := oddKey(b, 3072)
	for b.Loop() {
		if err := rule.Check(key); err != nil {
			b.Fatal(err)
		}
	}
}
