package policy

import (
	"bytes"
	"crypto/rsa"
	"fmt"
	"math/big"
	"sync"

	"filippo.io/edwards25519"
	"github.com/titanous/rocacheck"
)

// rsaFaults names every known weakness of an RSA key: one of its exponent, and the first of its modulus that is found.
func rsaFaults(key *rsa.PublicKey) []string {
	var faults []string
	if key.E < 65537 || key.E%2 == 0 || key.E > 1<<31-1 {
		faults = append(faults, fmt.Sprintf("exponent %d", key.E))
	}
	switch factor := smallFactor(key.N); {
	case key.N.Bit(0) == 0:
		faults = append(faults, "an even modulus")
	case factor != 0:
		faults = append(faults, fmt.Sprintf("a modulus that %d divides", factor))
	case rocacheck.IsWeak(key):
		faults = append(faults, "primes of the ROCA kind (CVE-2017-15361)")
	case closePrimes(key.N):
		faults = append(faults, "primes close to each other (CVE-2022-26320)")
	}
	return faults
}

// factorBound is below what no factor of a modulus may be (NIST SP 800-89 section 5.3.3).
const factorBound = 752

// oddPrimes are the odd primes below factorBound, and their product.
var oddPrimes = sync.OnceValues(func() (primes []int64, product *big.Int) {
	product = big.NewInt(1)
	for n := int64(3); n < factorBound; n += 2 {
		if p := big.NewInt(n); p.ProbablyPrime(0) { // exact below 2^64
			primes = append(primes, n)
			product.Mul(product, p)
		}
	}
	return primes, product
})

// smallFactor returns the least odd prime below factorBound that divides n, 0 if none does.
func smallFactor(n *big.Int) int64 {
	primes, product := oddPrimes()
	common := new(big.Int).GCD(nil, nil, product, new(big.Int).Mod(n, product))
	if common.Cmp(big.NewInt(1)) == 0 {
		return 0
	}
	rest := new(big.Int)
	for _, p := range primes {
		if rest.Mod(common, big.NewInt(p)).Sign() == 0 {
			return p
		}
	}
	return 0
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

// isSquare takes no root of what is no square modulo 45,045, which most numbers are not.
func isSquare(n *big.Int) bool {
	const filter = 5 * 7 * 9 * 11 * 13
	rest := new(big.Int).Mod(n, big.NewInt(filter)).Uint64()
	for _, m := range []uint64{5, 7, 9, 11, 13} {
		if !squareModulo(rest%m, m) {
			return false
		}
	}
	root := new(big.Int).Sqrt(n)
	return root.Mul(root, root).Cmp(n) == 0
}

// squareModulo says whether r is a square modulo m.
func squareModulo(r, m uint64) bool {
	for i := range m {
		if i*i%m == r {
			return true
		}
	}
	return false
}

// edwardsFault says what is wrong with the encoding of an Ed25519 key, "" for nothing. Whoever has a key
// of small order can show a signature of any message, without knowing a private key.
func edwardsFault(key []byte) string {
	point, err := new(edwards25519.Point).SetBytes(key)
	switch {
	case err != nil:
		return "not a point of Ed25519"
	case !bytes.Equal(point.Bytes(), key):
		return "a point of Ed25519 in another than its one encoding"
	case new(edwards25519.Point).MultByCofactor(point).Equal(edwards25519.NewIdentityPoint()) == 1:
		return "a point of small order of Ed25519"
	}
	return ""
}
