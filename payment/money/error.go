package money

import (
	"fmt"
	"strconv"
)

// An Error says why an amount was refused. Every error of this package is an *Error.
type Error struct {
	Field string // "amount" or "currency"
	Got   string // what was found
	Want  string // what would be right
}

func (e *Error) Error() string {
	return fmt.Sprintf("bad amount: %s is %s, want %s", e.Field, e.Got, e.Want)
}

// maxQuoted bounds how much of a foreign text an error repeats.
const maxQuoted = 40

func quote(s string) string {
	if len(s) > maxQuoted {
		return strconv.Quote(s[:maxQuoted]) + " and more"
	}
	return strconv.Quote(s)
}
