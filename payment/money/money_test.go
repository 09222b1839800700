package money_test

import (
	"encoding/json"
	"errors"
	"math"
	"math/big"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/quick"

	oracle "github.com/bojanz/currency"

	"github.com/payca/payca/payment/money"
)

func refused(t *testing.T, err error) {
	t.Helper()
	if e, ok := errors.AsType[*money.Error](err); !ok || e.Field == "" || e.Got == "" || e.Want == "" {
		t.Errorf("got %#v, want a whole *money.Error", err)
	}
}

func TestParse(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		amount, currency string
		minor            int64
		text             string
	}{
		{"12345.00", "CNY", 1234500, "12345.00 CNY"},
		{"12345", "CNY", 1234500, "12345.00 CNY"},
		{"0.5", "CNY", 50, "0.50 CNY"},
		{"0.05", "CNY", 5, "0.05 CNY"},
		{"0", "CNY", 0, "0.00 CNY"},
		{"7", "JPY", 7, "7 JPY"},
		{"0.001", "KWD", 1, "0.001 KWD"},
		{"1.2345", "UYW", 12345, "1.2345 UYW"},
		{"90071992547409.91", "EUR", money.MaxMinor, "90071992547409.91 EUR"},
		{"9007199254740991", "KRW", money.MaxMinor, "9007199254740991 KRW"},
	} {
		got, err := money.Parse(tt.amount, tt.currency)
		if want := money.New(tt.minor, money.Currency(tt.currency)); err != nil || got != want {
			t.Errorf("Parse(%q, %q): got %v, %v, want %v", tt.amount, tt.currency, got, err, want)
		}
		if got.String() != tt.text {
			t.Errorf("String: got %q, want %q", got, tt.text)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	t.Parallel()
	for _, tt := range [][2]string{
		{"", "CNY"},
		{".", "CNY"},
		{".5", "CNY"},
		{"5.", "CNY"},
		{"1.2.3", "CNY"},
		{"1.234", "CNY"},
		{"1.000", "CNY"},
		{"+1", "CNY"},
		{"-1", "CNY"},
		{"-0", "CNY"},
		{"1.-1", "CNY"},
		{"1.+1", "CNY"},
		{"1e3", "CNY"},
		{"0x10", "CNY"},
		{"1_000", "CNY"},
		{" 1", "CNY"},
		{"1 ", "CNY"},
		{"1,000", "CNY"},
		{"1,5", "CNY"},
		{"01", "CNY"},
		{"00.05", "CNY"},
		{"١٢", "CNY"},
		{"NaN", "CNY"},
		{"1.0", "JPY"},
		{"1.", "JPY"},
		{"1.0000", "KWD"},
		{"1\x00", "CNY"},
		{"90071992547409.92", "CNY"},
		{"92233720368547758.08", "CNY"},
		{strings.Repeat("9", 5000), "CNY"},
		{"1", ""},
		{"1", "cny"},
		{"1", "XXX"},
		{"1", "XAU"},
		{"1", "CNY "},
		{"1", "156"},
	} {
		got, err := money.Parse(tt[0], tt[1])
		if err == nil || got != (money.Money{}) {
			t.Errorf("Parse(%.50q, %q): got %v, %v, want a refusal", tt[0], tt[1], got, err)
			continue
		}
		refused(t, err)
		if len(err.Error()) > 200 {
			t.Errorf("Parse(%.50q): got an error of %d octets, want a short one", tt[0], len(err.Error()))
		}
	}
	_, err := money.Parse("1.234", "CNY")
	if got, want := err.Error(), `bad amount: amount is "1.234", want digits such as 123.45`; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestTextOfNegativeAndUnknownAmounts(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		m    money.Money
		want string
	}{
		{money.New(-5, "CNY"), "-0.05 CNY"},
		{money.New(-1234500, "CNY"), "-12345.00 CNY"},
		{money.New(-1, "UYW"), "-0.0001 UYW"},
		{money.New(-7, "JPY"), "-7 JPY"},
		{money.New(math.MinInt64, "CNY"), "-92233720368547758.08 CNY"},
		{money.New(12, "ZZZ"), "12 ZZZ"},
	} {
		if got := tt.m.String(); got != tt.want {
			t.Errorf("got %q, want %q", got, tt.want)
		}
	}
}

func TestCheck(t *testing.T) {
	t.Parallel()
	for _, m := range []money.Money{money.New(1, "CNY"), money.New(money.MaxMinor, "JPY")} {
		if err := m.Check(); err != nil {
			t.Errorf("%v: got %v, want nil", m, err)
		}
	}
	for _, m := range []money.Money{
		{},
		money.New(0, "CNY"), money.New(-1, "CNY"), money.New(money.MaxMinor+1, "CNY"),
		money.New(math.MaxInt64, "CNY"), money.New(math.MinInt64, "CNY"), money.New(1, ""), money.New(1, "ABC"),
	} {
		refused(t, m.Check())
	}
}

func TestBasisPoints(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ minor, bp, want int64 }{
		{1234500, 25, 3086},
		{5000, 1, 0},
		{15000, 1, 2},
		{25000, 1, 2},
		{5001, 1, 1},
		{-15000, 1, -2},
		{-5000, 1, 0},
		{15000, -1, -2},
		{-15000, -1, 2},
		{money.MaxMinor, 10_000, money.MaxMinor},
		{money.MaxMinor, 0, 0},
		{math.MinInt64, 1, -922337203685478},
		{math.MaxInt64, math.MinInt64, 0},
		{math.MinInt64, math.MinInt64, 0},
		{money.MaxMinor, 10_001, 0},
	} {
		got, err := money.New(tt.minor, "CNY").BasisPoints(tt.bp)
		exact := exactBasisPoints(tt.minor, tt.bp)
		if exact.CmpAbs(big.NewInt(money.MaxMinor)) > 0 {
			refused(t, err)
			continue
		}
		if want := money.New(tt.want, "CNY"); err != nil || got != want || exact.Int64() != tt.want {
			t.Errorf("%d at %d: got %v, %v, want %v", tt.minor, tt.bp, got, err, want)
		}
	}
}

// exactBasisPoints rounds half to even in a second way: floor of the doubled quotient.
func exactBasisPoints(minor, bp int64) *big.Int {
	product := new(big.Int).Mul(big.NewInt(minor), big.NewInt(bp))
	q, r := new(big.Int).QuoRem(new(big.Int).Abs(product), big.NewInt(10_000), new(big.Int))
	if r.Int64() > 5000 || r.Int64() == 5000 && q.Bit(0) == 1 {
		q.Add(q, big.NewInt(1))
	}
	if product.Sign() < 0 {
		q.Neg(q)
	}
	return q
}

// edge picks numbers near the places where arithmetic goes wrong.
func edge(r *rand.Rand) int64 {
	edges := []int64{0, 1, -1, 10_000, money.MaxMinor, -money.MaxMinor, money.MaxMinor / 2, math.MaxInt64, math.MinInt64, 1 << 32, 5000}
	switch r.IntN(3) {
	case 0:
		return edges[r.IntN(len(edges))] + int64(r.IntN(5)) - 2 // may wrap: that is another edge
	case 1:
		return r.Int64N(1<<54) - 1<<53
	}
	return int64(r.Uint64() >> r.IntN(64))
}

func TestArithmeticIsExactOrRefused(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 2))
	rounds := 200_000
	if testing.Short() {
		rounds = 20_000
	}
	for range rounds {
		a, b := edge(r), edge(r)
		x, y, bigA, bigB := money.New(a, "CNY"), money.New(b, "CNY"), big.NewInt(a), big.NewInt(b)
		add, addErr := x.Add(y)
		sub, subErr := x.Sub(y)
		mul, mulErr := x.Mul(b)
		bp, bpErr := x.BasisPoints(b)
		for _, op := range []struct {
			name string
			got  money.Money
			err  error
			want *big.Int
		}{
			{"Add", add, addErr, new(big.Int).Add(bigA, bigB)},
			{"Sub", sub, subErr, new(big.Int).Sub(bigA, bigB)},
			{"Mul", mul, mulErr, new(big.Int).Mul(bigA, bigB)},
			{"BasisPoints", bp, bpErr, exactBasisPoints(a, b)},
		} {
			fits := op.want.CmpAbs(big.NewInt(money.MaxMinor)) <= 0
			if fits && (op.err != nil || op.got != money.New(op.want.Int64(), "CNY")) {
				t.Fatalf("%s(%d, %d): got %v, %v, want %v", op.name, a, b, op.got, op.err, op.want)
			}
			if !fits && (op.err == nil || op.got != (money.Money{})) {
				t.Fatalf("%s(%d, %d): got %v, %v, want a refusal", op.name, a, b, op.got, op.err)
			}
			if !fits {
				refused(t, op.err)
			}
		}
	}
}

func TestSubUndoesAdd(t *testing.T) {
	t.Parallel()
	property := func(a, b int64) bool {
		x, y := money.New(a>>11, "EUR"), money.New(b>>11, "EUR")
		sum, err := x.Add(y)
		if err != nil {
			return true // refused: TestArithmeticIsExactOrRefused says when
		}
		back, err := sum.Sub(y)
		return err == nil && back == x
	}
	if err := quick.Check(property, &quick.Config{MaxCount: 10_000}); err != nil {
		t.Error(err)
	}
}

func TestParseReadsWhatDecimalWrites(t *testing.T) {
	t.Parallel()
	property := func(n uint64, pick uint8) bool {
		m := money.New(int64(n>>11>>(pick%50)), []money.Currency{"CNY", "JPY", "KWD", "CLF"}[pick%4])
		back, err := money.Parse(m.Decimal(), string(m.Currency))
		return err == nil && back == m
	}
	if err := quick.Check(property, &quick.Config{MaxCount: 10_000}); err != nil {
		t.Error(err)
	}
}

func TestCompareAndSum(t *testing.T) {
	t.Parallel()
	one, two, yen := money.New(1, "CNY"), money.New(2, "CNY"), money.New(1, "JPY")
	for _, tt := range []struct {
		a, b money.Money
		want int
	}{{one, two, -1}, {two, one, 1}, {one, one, 0}, {money.New(math.MinInt64, "CNY"), money.New(math.MaxInt64, "CNY"), -1}} {
		if got, err := tt.a.Compare(tt.b); err != nil || got != tt.want {
			t.Errorf("Compare(%v, %v): got %d, %v, want %d", tt.a, tt.b, got, err, tt.want)
		}
	}
	if got, err := money.Sum("CNY"); err != nil || got != money.New(0, "CNY") {
		t.Errorf("sum of none: got %v, %v", got, err)
	}
	if got, err := money.Sum("CNY", one, two, two); err != nil || got != money.New(5, "CNY") {
		t.Errorf("sum: got %v, %v, want 0.05 CNY", got, err)
	}
	_, compareErr := one.Compare(yen)
	_, addErr := one.Add(yen)
	_, subErr := one.Sub(yen)
	_, sumErr := money.Sum("CNY", one, yen)
	_, rangeErr := money.Sum("CNY", one, money.New(money.MaxMinor, "CNY"))
	for _, err := range []error{compareErr, addErr, subErr, sumErr, rangeErr} {
		refused(t, err)
	}
}

func TestJSON(t *testing.T) {
	t.Parallel()
	text, err := json.Marshal(money.New(1234500, "CNY"))
	if got, want := string(text), `{"minor":1234500,"currency":"CNY"}`; err != nil || got != want {
		t.Errorf("got %s, %v, want %s", got, err, want)
	}
}

func TestCurrenciesAreThoseOfISO4217(t *testing.T) {
	t.Parallel()
	known := 0
	for a := 'A'; a <= 'Z'; a++ {
		for b := 'A'; b <= 'Z'; b++ {
			for c := 'A'; c <= 'Z'; c++ {
				code := string([]rune{a, b, c})
				mine, err := money.ParseCurrency(code)
				if (err == nil) != money.Currency(code).Known() {
					t.Errorf("%s: ParseCurrency and Known differ", code)
				}
				if err == nil {
					known++
				}
				compareWithOracle(t, code, mine)
			}
		}
	}
	if known < 160 {
		t.Errorf("got %d currencies, want at least 160", known)
	}
	if c := money.Currency("ZZZ"); c.Exponent() != 0 || c.Numeric() != "" || c.Known() {
		t.Error("ZZZ has properties of a currency")
	}
}

func compareWithOracle(t *testing.T, code string, mine money.Currency) {
	t.Helper()
	if oracle.IsValid(code) != (mine != "") {
		t.Errorf("%s: oracle says %t, table says %t", code, oracle.IsValid(code), mine != "")
		return
	}
	if mine == "" {
		return
	}
	digits, _ := oracle.GetDigits(code)
	numeric, _ := oracle.GetNumericCode(code)
	if mine.Exponent() != int(digits) || mine.Numeric() != numeric {
		t.Errorf("%s: got %d %s, oracle has %d %s", code, mine.Exponent(), mine.Numeric(), digits, numeric)
	}
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{"12345.00", "0.05", "1e9", "-1", "01", "9007199254740991", ".", "1."} {
		f.Add(seed, "CNY")
		f.Add(seed, "JPY")
	}
	f.Fuzz(func(t *testing.T, amount, currency string) {
		m, err := money.Parse(amount, currency)
		if err != nil {
			refused(t, err)
			return
		}
		if m.Minor < 0 || m.Minor > money.MaxMinor || m.Minor > 0 && m.Check() != nil {
			t.Errorf("Parse(%q, %q): got %d minor units", amount, currency, m.Minor)
		}
		if back, err := money.Parse(m.Decimal(), string(m.Currency)); err != nil || back != m {
			t.Errorf("Parse(%q): got %v, %v, want %v", m.Decimal(), back, err, m)
		}
		if !strings.HasPrefix(m.Decimal(), amount) {
			t.Errorf("Parse(%q): got %v, which does not begin like it", amount, m)
		}
	})
}
