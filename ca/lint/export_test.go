package lint

import (
	"crypto/x509"
)

// LikenessOf is what c is like, and whether it is like anything.
func LikenessOf(c *x509.Certificate) ([32]byte, bool) { return likenessOf(c) }

// Zlint is the lints of zlint with a memory.
type Zlint struct{ *zlint }

// NewZlint makes them.
func NewZlint(most int) (Zlint, error) {
	z, err := newZlint(most)
	return Zlint{z}, err
}

// Judge remembers, Run does not.
func (z Zlint) Judge(c *x509.Certificate) (Findings, error) { return z.judge(c) }

// Run asks zlint.
func (z Zlint) Run(c *x509.Certificate) (Findings, error) { return z.run(c.Raw) }

// Remembered is how many likenesses passed.
func (z Zlint) Remembered() int { return len(z.memory.passed) }
