package account

import (
	"fmt"
	"io"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"github.com/payca/payca/payment"
)

// Redacted is what a [Number] shows of itself.
const Redacted = "[account number]"

// A Number is an account number (PAN). It never shows its digits by accident.
type Number struct{ digits string }

// ParseNumber reads 12 to 19 digits, in groups or not, with a right check digit (ISO/IEC 7812-1). Its error does
// not hold the digits.
func ParseNumber(s string) (Number, error) {
	digits := strings.ReplaceAll(strings.TrimSpace(s), " ", "")
	if n := len(digits); n < 12 || n > 19 || strings.Trim(digits, "0123456789") != "" {
		return Number{}, payment.Refuse(payment.InvalidAccount, "account number", fmt.Sprintf("%d characters, response code 14", n), "12 to 19 digits")
	}
	if !luhn(digits) {
		return Number{}, payment.Refuse(payment.InvalidAccount, "account number", "one with a wrong check digit, response code 14", "a number whose last digit fits the others (Luhn)")
	}
	return Number{digits}, nil
}

// NewNumber completes digits with their check digit.
func NewNumber(digits string) (Number, error) {
	for check := range 10 {
		if n, err := ParseNumber(digits + strconv.Itoa(check)); err == nil {
			return n, nil
		}
	}
	_, err := ParseNumber(digits + "0")
	return Number{}, err
}

// luhn checks the last digit against the others.
func luhn(digits string) bool {
	sum := 0
	for i := range len(digits) {
		d := int(digits[len(digits)-1-i] - '0')
		if i%2 == 1 {
			if d *= 2; d > 9 {
				d -= 9
			}
		}
		sum += d
	}
	return sum%10 == 0
}

// Reveal returns the digits.
func (n Number) Reveal() string { return n.digits }

// binSize is how many digits name the issuing bank.
const binSize = 6

// BIN returns the first digits, by which a payment is routed to the issuing bank.
func (n Number) BIN() string {
	if len(n.digits) < binSize {
		return ""
	}
	return n.digits[:binSize]
}

// String returns [Redacted].
func (n Number) String() string { return Redacted }

// Format writes [Redacted], whatever the verb.
func (n Number) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, Redacted) }

// MarshalText returns [Redacted]; so does encoding it as JSON.
func (n Number) MarshalText() ([]byte, error) { return []byte(Redacted), nil }

// LogValue returns [Redacted].
func (n Number) LogValue() slog.Value { return slog.StringValue(Redacted) }

// CheckExpiry refuses an expiry date, YYMM as in ISO 8583 DE14, that is malformed or past: a card is
// good until the end of its month.
func CheckExpiry(yymm string, now time.Time) error {
	month, err := time.Parse("0601", yymm)
	if err != nil || len(yymm) != 4 {
		return payment.Refuse(payment.InvalidAccount, "expiry", strconv.Quote(yymm)+", response code 54", "YYMM")
	}
	if end := month.AddDate(0, 1, 0); !now.UTC().Before(end) {
		return payment.Refuse(payment.InvalidAccount, "expiry", yymm+", which is past, response code 54", "a month not before "+now.UTC().Format("0601"))
	}
	return nil
}
