package money

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
)

// MaxMinor is the largest number of minor units, the largest integer that
// every JSON reader keeps exactly.
const MaxMinor = 1<<53 - 1

// Money is an amount: whole minor units of one currency. The zero value is no amount.
type Money struct {
	Minor    int64    `json:"minor"`    // 1234500 for 12345.00 CNY
	Currency Currency `json:"currency"` // ISO 4217 alphabetic code
}

// New returns an amount of minor units, as it is; [Money.Check] judges it.
func New(minor int64, c Currency) Money {
	return Money{Minor: minor, Currency: c}
}

// Parse reads an amount such as "12345.00" in a currency such as "CNY". It
// accepts ASCII digits and at most one point with a digit on both sides, with
// no more digits after it than the currency has. Signs, exponents, spaces,
// grouping and superfluous leading zeros are refused. The error is an [*Error].
func Parse(amount, currency string) (Money, error) {
	c, err := ParseCurrency(currency)
	if err != nil {
		return Money{}, err
	}
	whole, fraction, point := strings.Cut(amount, ".")
	exponent := c.Exponent()
	if !digits(whole) || point && !digits(fraction) || len(fraction) > exponent || len(whole) > 1 && whole[0] == '0' {
		return Money{}, &Error{Field: "amount", Got: quote(amount), Want: form(c)}
	}
	minor, err := strconv.ParseInt(whole+fraction+strings.Repeat("0", exponent-len(fraction)), 10, 64)
	if err != nil || minor > MaxMinor {
		return Money{}, &Error{Field: "amount", Got: quote(amount), Want: "at most " + New(MaxMinor, c).Decimal()}
	}
	return New(minor, c), nil
}

func digits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != ""
}

// form says what an amount of the currency looks like.
func form(c Currency) string {
	return "digits such as " + New(12345, c).Decimal()
}

// Check says whether the amount can be paid: a known currency, and from 1 to
// [MaxMinor] minor units. The error is an [*Error].
func (m Money) Check() error {
	if !m.Currency.Known() {
		return unknownCurrency(m.Currency)
	}
	if m.Minor < 1 || m.Minor > MaxMinor {
		return &Error{
			Field: "amount", Got: m.Decimal(),
			Want: fmt.Sprintf("%s to %s", New(1, m.Currency).Decimal(), New(MaxMinor, m.Currency).Decimal()),
		}
	}
	return nil
}

// String writes the amount with its currency: "12345.00 CNY", "-0.05 CNY".
func (m Money) String() string {
	return m.Decimal() + " " + string(m.Currency)
}

// Decimal writes the amount with all digits of its currency: "12345.00". A
// currency that is not known has no digits after the point.
func (m Money) Decimal() string {
	exponent := m.Currency.Exponent()
	s := strconv.FormatInt(m.Minor, 10)
	if exponent == 0 {
		return s
	}
	s, negative := strings.CutPrefix(s, "-")
	if len(s) <= exponent {
		s = strings.Repeat("0", exponent+1-len(s)) + s
	}
	s = s[:len(s)-exponent] + "." + s[len(s)-exponent:]
	if negative {
		return "-" + s
	}
	return s
}

// Compare returns -1, 0 or +1 as m is less than, equal to or greater than o,
// and an [*Error] when their currencies differ.
func (m Money) Compare(o Money) (int, error) {
	if err := m.same(o); err != nil {
		return 0, err
	}
	return cmp.Compare(m.Minor, o.Minor), nil
}

// same refuses amounts of two currencies.
func (m Money) same(o Money) error {
	if m.Currency != o.Currency {
		return &Error{Field: "currency", Got: quote(string(o.Currency)), Want: string(m.Currency)}
	}
	return nil
}
