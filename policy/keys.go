package policy

import (
	"crypto"
	"crypto/dsa" //lint:ignore SA1019 a request may hold a DSA key, which is refused by name
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"fmt"
	"slices"
	"strings"
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

// Check accepts a key of an allowed kind and size that has none of the weaknesses that the key itself
// shows. Of RSA keys these are: an exponent that is even, below 65537 or above 2^31-1; a modulus that is even or
// has another factor below 752 (NIST SP 800-89 section 5.3.3); primes of the ROCA kind (CVE-2017-15361) or close to each
// other (CVE-2022-26320). Of keys on a curve: a point that is not on it, or of small order.
// The error is [Violations] of the rules "key-kind", "key-size", "key-weak" and "key-point", all that apply.
func (r KeyRule) Check(pub crypto.PublicKey) error {
	if err := r.checkKind(pub); err != nil {
		return ViolationsOf(err)
	}
	var vs Violations
	switch key := pub.(type) {
	case *rsa.PublicKey:
		for _, fault := range rsaFaults(key) {
			vs = append(vs, keyViolation("key-weak", DescribeKey(pub)+" with "+fault,
				"a key made by a sound generator, with exponent 65537 and two independent primes"))
		}
	case *ecdsa.PublicKey:
		if _, err := key.ECDH(); err != nil {
			vs = append(vs, keyViolation("key-point", "not a point of "+DescribeKey(pub), "a point on the curve that is not at infinity"))
		}
	case ed25519.PublicKey:
		if fault := edwardsFault(key); fault != "" {
			vs = append(vs, keyViolation("key-point", fault, "the canonical encoding of a point of large order (RFC 8032 section 5.1.3)"))
		}
	}
	return vs.orNil()
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
	if isRSA && (key.N.Sign() < 0 || key.N.BitLen() < r.RSABits || key.N.BitLen() > maxRSABits) {
		return keyViolation("key-size", got, r.want())
	}
	if isRSA && key.N.BitLen()%8 != 0 {
		return keyViolation("key-size", got, "RSA of a whole number of octets")
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
