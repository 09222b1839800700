package money

import (
	"cmp"
	"fmt"
	"slices"
)

// A Currency is an ISO 4217 alphabetic code, such as "CNY".
type Currency string

// ParseCurrency accepts the code of a known currency, in capital letters. The
// error is an [*Error].
func ParseCurrency(code string) (Currency, error) {
	c := Currency(code)
	if !c.Known() {
		return "", unknownCurrency(c)
	}
	return c, nil
}

// Known says whether the code is in the table of ISO 4217.
func (c Currency) Known() bool {
	_, ok := c.row()
	return ok
}

// Exponent returns the number of digits after the point: 2 for CNY, 0 for JPY.
// It is 0 for a currency that is not known.
func (c Currency) Exponent() int {
	r, _ := c.row()
	return r.exponent
}

// Numeric returns the three digits that ISO 4217 gives the currency: "156" for
// CNY. It is empty for a currency that is not known.
func (c Currency) Numeric() string {
	r, ok := c.row()
	if !ok {
		return ""
	}
	return fmt.Sprintf("%03d", r.numeric)
}

func (c Currency) row() (row, bool) {
	i, ok := slices.BinarySearchFunc(table, c, func(r row, c Currency) int { return cmp.Compare(r.code, c) })
	if !ok {
		return row{}, false
	}
	return table[i], true
}

func unknownCurrency(c Currency) error {
	return &Error{Field: "currency", Got: quote(string(c)), Want: "an ISO 4217 code such as CNY"}
}
