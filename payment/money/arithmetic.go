package money

import (
	"fmt"
	"math/bits"
)

// perUnit is how many basis points make the whole.
const perUnit = 10_000

// Add returns m+o. The error is an [*Error]: two currencies, or a result beyond [MaxMinor].
func (m Money) Add(o Money) (Money, error) {
	if err := m.same(o); err != nil {
		return Money{}, err
	}
	sum := m.Minor + o.Minor
	if (sum > m.Minor) != (o.Minor > 0) && o.Minor != 0 {
		return Money{}, outOfRange(fmt.Sprintf("%v + %v", m, o))
	}
	return bounded(sum, m.Currency, "sum")
}

// Sub returns m-o, which may be negative. The error is an [*Error]: two
// currencies, or a result beyond [MaxMinor].
func (m Money) Sub(o Money) (Money, error) {
	if err := m.same(o); err != nil {
		return Money{}, err
	}
	difference := m.Minor - o.Minor
	if (difference < m.Minor) != (o.Minor > 0) && o.Minor != 0 {
		return Money{}, outOfRange(fmt.Sprintf("%v - %v", m, o))
	}
	return bounded(difference, m.Currency, "difference")
}

// Mul returns m*n. The error is an [*Error]: a result beyond [MaxMinor].
func (m Money) Mul(n int64) (Money, error) {
	hi, lo := bits.Mul64(magnitude(m.Minor), magnitude(n))
	if hi != 0 || lo > MaxMinor {
		return Money{}, outOfRange(fmt.Sprintf("%v * %d", m, n))
	}
	return New(signed(lo, (m.Minor < 0) != (n < 0)), m.Currency), nil
}

// BasisPoints returns m*bp/10000, rounded half to even: 25 basis points of
// 12345.00 CNY are 30.86 CNY. The error is an [*Error]: a result beyond [MaxMinor].
func (m Money) BasisPoints(bp int64) (Money, error) {
	hi, lo := bits.Mul64(magnitude(m.Minor), magnitude(bp))
	if hi >= perUnit {
		return Money{}, outOfRange(fmt.Sprintf("%d basis points of %v", bp, m))
	}
	quotient, rest := bits.Div64(hi, lo, perUnit)
	if quotient <= MaxMinor && (rest > perUnit/2 || rest == perUnit/2 && quotient%2 == 1) {
		quotient++
	}
	if quotient > MaxMinor {
		return Money{}, outOfRange(fmt.Sprintf("%d basis points of %v", bp, m))
	}
	return New(signed(quotient, (m.Minor < 0) != (bp < 0)), m.Currency), nil
}

// Sum adds up amounts that must all be of the currency; the sum of none is
// zero. The error is an [*Error]: another currency, or a running total beyond [MaxMinor].
func Sum(currency Currency, list ...Money) (Money, error) {
	total := New(0, currency)
	for _, m := range list {
		var err error
		if total, err = total.Add(m); err != nil {
			return Money{}, err
		}
	}
	return total, nil
}

// magnitude is right for the least integer, too.
func magnitude(n int64) uint64 {
	if n < 0 {
		return -uint64(n)
	}
	return uint64(n)
}

// signed takes a magnitude of at most MaxMinor.
func signed(n uint64, negative bool) int64 {
	if negative {
		return -int64(n)
	}
	return int64(n)
}

func bounded(minor int64, c Currency, what string) (Money, error) {
	if magnitude(minor) > MaxMinor {
		return Money{}, outOfRange(what + " " + New(minor, c).String())
	}
	return New(minor, c), nil
}

func outOfRange(got string) error {
	return &Error{Field: "amount", Got: got, Want: fmt.Sprintf("at most %d minor units", int64(MaxMinor))}
}
