package policy

import (
	"crypto"
	"crypto/dsa"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"fmt"
	"math/big"
	"slices"
	"strings"

	"github.com/titanous/rocacheck"
)

// The kinds of key that a [KeyRule] can allow.
const (
	KeyP256    = "P-256"
	KeyP384    = "P-384"
	KeyEd25519 = "Ed25519"
	KeyRSA     = "RSA"
)

// What no rule can change: the sizes of RSA keys, in bits. Above the largest
// the verification of a request's signature would cost too much.
const (
	minRSABits     = 2048
	defaultRSABits = 3072
	maxRSABits     = 8192
)

// A KeyRule says which public keys are good enough.
type KeyRule struct {
	Kinds   []string // the allowed kinds: KeyP256, KeyP384, KeyEd25519, KeyRSA
	RSABits int      // the least size of an RSA modulus, in bits
}

// Check accepts a key of an allowed kind and size that has none of the known
// weaknesses: an RSA exponent that is even, below 65537 or above 2^31-1, an even
// modulus, primes of the ROCA kind (CVE-2017-15361) or close to each other
// (CVE-2022-26320). The error is a *[Violation]: "key-kind", "key-size" or "key-weak".
func (r KeyRule) Check(pub crypto.PublicKey) error {
	if err := r.checkKind(pub); err != nil {
		return err
	}
	if key, ok := pub.(*rsa.PublicKey); ok {
		if fault := rsaFault(key); fault != "" {
			return keyViolation("key-weak", DescribeKey(pub)+" with "+fault,
				"a key made by a sound generator, with exponent 65537 and two independent primes")
		}
	}
	return nil
}

func (r KeyRule) checkKind(pub crypto.PublicKey) error {
	got := DescribeKey(pub)
	kind := got
	key, isRSA := pub.(*rsa.PublicKey)
	if isRSA {
		kind = KeyRSA
	}
	if !slices.Contains(r.Kinds, kind) {
		return keyViolation("key-kind", got, r.want())
	}
	if isRSA && (key.N.BitLen() < r.RSABits || key.N.BitLen() > maxRSABits) {
		return keyViolation("key-size", got, r.want())
	}
	return nil
}

// want lists what the rule allows.
func (r KeyRule) want() string {
	kinds := slices.Clone(r.Kinds)
	for i, kind := range kinds {
		if kind == KeyRSA {
			kinds[i] = fmt.Sprintf("RSA of %d to %d bits", r.RSABits, maxRSABits)
		}
	}
	return strings.Join(kinds, " or ")
}

func keyViolation(rule, got, want string) *Violation {
	return &Violation{Rule: rule, Field: "public key", Got: got, Want: want}
}

// DescribeKey names a public key for people: "P-256", "RSA-2048", "Ed25519".
func DescribeKey(pub crypto.PublicKey) string {
	switch key := pub.(type) {
	case *ecdsa.PublicKey:
		return key.Curve.Params().Name
	case *rsa.PublicKey:
		return fmt.Sprintf("RSA-%d", key.N.BitLen())
	case ed25519.PublicKey:
		return "Ed25519"
	case *ecdh.PublicKey:
		return fmt.Sprint(key.Curve())
	case *dsa.PublicKey:
		return "DSA"
	}
	return fmt.Sprintf("%T", pub)
}

// rsaFault names a known weakness of an RSA key, "" when it has none.
func rsaFault(key *rsa.PublicKey) string {
	switch {
	case key.E < 65537 || key.E%2 == 0 || key.E > 1<<31-1:
		return fmt.Sprintf("exponent %d", key.E)
	case key.N.Bit(0) == 0:
		return "an even modulus"
	case rocacheck.IsWeak(key):
		return "primes of the ROCA kind (CVE-2017-15361)"
	case closePrimes(key.N):
		return "primes close to each other (CVE-2022-26320)"
	}
	return ""
}

// closePrimes tries Fermat's factorization of an odd n: a step finds factors that
// differ little. Independent primes are out of reach of any number of steps;
// the broken generators are known to fall within twenty.
func closePrimes(n *big.Int) bool {
	const steps = 100
	a := new(big.Int).Sqrt(n)
	rest := new(big.Int).Mul(a, a)
	rest.Sub(rest, n) // a*a - n, which is b*b when n = (a-b)(a+b)
	if rest.Sign() == 0 {
		return true
	}
	one, step := big.NewInt(1), new(big.Int)
	for range steps {
		step.Lsh(a, 1).Add(step, one)
		rest.Add(rest, step)
		a.Add(a, one)
		if isSquare(rest) {
			return true
		}
	}
	return false
}

func isSquare(n *big.Int) bool {
	if words := n.Bits(); len(words) > 0 {
		switch words[0] & 15 { // squares are 0, 1, 4 or 9 modulo 16
		case 0, 1, 4, 9:
		default:
			return false
		}
	}
	root := new(big.Int).Sqrt(n)
	return root.Mul(root, root).Cmp(n) == 0
}
