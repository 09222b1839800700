package account_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/payca/payca/payment"
	"github.com/payca/payca/payment/account"
	"github.com/payca/payca/payment/money"
	"github.com/payca/payca/policy"
)

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

const digits = "4111111111111111" // a test number

func codeOf(err error) payment.Code {
	if r, ok := errors.AsType[*payment.Refusal](err); ok {
		return r.Code
	}
	return ""
}

func number(t testing.TB) account.Number {
	t.Helper()
	n, err := account.ParseNumber(digits)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestANumberNeverShowsItself(t *testing.T) {
	t.Parallel()
	n := number(t)
	type holder struct {
		N account.Number
		P *account.Number
		M map[string]account.Number
	}
	h := holder{n, &n, map[string]account.Number{"a": n}}
	var log bytes.Buffer
	slog.New(slog.NewTextHandler(&log, nil)).LogAttrs(t.Context(), slog.LevelInfo, "x", slog.Any("n", n), slog.Any("h", h))
	slog.New(slog.NewJSONHandler(&log, nil)).LogAttrs(t.Context(), slog.LevelInfo, "x", slog.Any("n", n), slog.Any("h", h))
	var text strings.Builder
	text.WriteString(log.String())
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%d", "%x", "%X", "%T"} {
		text.WriteString(fmt.Sprintf(verb, n) + fmt.Sprintf(verb, h) + fmt.Sprintf(verb, &n))
	}
	raw, err := json.Marshal(h)
	if err != nil {
		t.Fatal(err)
	}
	text.WriteString(string(raw) + fmt.Sprint(n) + account.Link{Number: digits}.String() + fmt.Sprintf("%#v", account.Link{Number: digits}))
	for _, secret := range []string{digits, fmt.Sprintf("%x", digits), digits[6:]} {
		if strings.Contains(text.String(), secret) {
			t.Errorf("%q is in %s", secret, text.String())
		}
	}
	if n.Reveal() != digits || n.BIN() != "411111" {
		t.Errorf("got %q and %q", n.Reveal(), n.BIN())
	}
}

func TestNumbersAreChecked(t *testing.T) {
	t.Parallel()
	for _, good := range []string{digits, "4111 1111 1111 1111", "5500000000000004", "378282246310005", "6011111111111117"} {
		if _, err := account.ParseNumber(good); err != nil {
			t.Errorf("%s: %v", good, err)
		}
	}
	for _, bad := range []string{"", "4111111111111112", "411111111111", "41111111111111111111", "4111-1111-1111-1111", "４111111111111111"} {
		if _, err := account.ParseNumber(bad); codeOf(err) != payment.InvalidAccount || bad != "" && strings.Contains(err.Error(), bad) {
			t.Errorf("%s: got %v, want %s without the digits", bad, err, payment.InvalidAccount)
		}
	}
	for range 100 {
		n, err := account.RandomNumber("622848")
		if err != nil || n.BIN() != "622848" || len(n.Reveal()) != 16 {
			t.Fatalf("got %q, %v", n.Reveal(), err)
		}
	}
}

func TestACardIsGoodUntilTheEndOfItsMonth(t *testing.T) {
	t.Parallel()
	last := time.Date(2026, 11, 30, 23, 59, 59, 0, time.UTC)
	if err := account.CheckExpiry("2611", last); err != nil {
		t.Error(err)
	}
	for yymm, at := range map[string]time.Time{"2611": last.Add(time.Second), "2610": last, "2613": last, "26": last, "": last, "261 ": last} {
		if err := account.CheckExpiry(yymm, at); codeOf(err) != payment.InvalidAccount {
			t.Errorf("%q at %s: got %v, want %s", yymm, at, err, payment.InvalidAccount)
		}
	}
}

// A scene is an instruction and the dual signature for it.
type scene struct {
	in       account.Instruction
	dual     payment.Dual
	consumer policy.Identity
	key      *ecdsa.PrivateKey
	cert     *x509.Certificate
}

func newScene(t testing.TB) *scene {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: noon.AddDate(100, 0, 0)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	s := &scene{consumer: policy.Identity{Network: "pay.example", Role: policy.Consumer, Party: "school"}, key: key, cert: cert}
	amount := money.New(1_234_500, "CNY")
	s.in = account.Instruction{
		ID: payment.NewID(noon), Nonce: payment.NewNonce(), Consumer: s.consumer.String(), Merchant: "spiffe://merchant.pay.example/shop1",
		Gateway: "spiffe://gateway.pay.example/gw1", Issuer: "spiffe://issuing-bank.pay.example/ibank", OIH: payment.OIH("offer"), Amount: amount,
		Number: number(t), Expiry: "3011", Confirm: payment.Confirm{Mode: payment.ConfirmNone, Channel: "online"}, Expires: noon.Add(time.Hour).Unix(),
	}
	s.dual = payment.Dual{OIH: s.in.OIH, Merchant: s.in.Merchant, Gateway: s.in.Gateway, Confirm: s.in.Confirm}
	s.dual.ID, s.dual.Amount = s.in.ID, &amount
	return s
}

// open seals the instruction, and opens it as a gateway does.
func (s *scene) open(t testing.TB) (*account.Opened, error) {
	t.Helper()
	plain, err := s.in.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if s.dual.PIH == "" {
		s.dual.PIH = payment.PIH(plain)
	}
	sealed, err := payment.Seal(payment.KindInstruction, s.cert, plain)
	if err != nil {
		t.Fatal(err)
	}
	key, err := s.key.ECDH()
	if err != nil {
		t.Fatal(err)
	}
	return account.Open(sealed, key, &s.dual, s.consumer, noon)
}

func TestAnInstructionIsOpenedAsItWasSigned(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	opened, err := s.open(t)
	if err != nil {
		t.Fatal(err)
	}
	if opened.Instruction != s.in || payment.PIH(opened.Plain) != s.dual.PIH {
		t.Errorf("got %+v\nwant %+v", opened.Instruction, s.in)
	}
	for _, tt := range []struct {
		name   string
		change func(s *scene)
		code   payment.Code
	}{
		{"another digest", func(s *scene) { s.dual.PIH = payment.PIH(nil) }, payment.PIHMismatch},
		{"another payment", func(s *scene) { s.in.ID = payment.NewID(noon) }, payment.OIHMismatch},
		{"another order", func(s *scene) { s.in.OIH = payment.OIH("other") }, payment.OIHMismatch},
		{"another consumer", func(s *scene) { s.in.Consumer = "spiffe://consumer.pay.example/other" }, payment.ConsumerMismatch},
		{"another merchant", func(s *scene) { s.in.Merchant = "spiffe://merchant.pay.example/other" }, payment.NotAddressedHere},
		{"another gateway", func(s *scene) { s.in.Gateway = "spiffe://gateway.pay.example/other" }, payment.NotAddressedHere},
		{"another amount", func(s *scene) { s.in.Amount.Minor++ }, payment.AmountMismatch},
		{"another currency", func(s *scene) { s.in.Amount.Currency = "JPY" }, payment.AmountMismatch},
		{"another confirmation", func(s *scene) { s.in.Confirm.Mode = payment.ConfirmRealtime }, payment.PIHMismatch},
		{"too late", func(s *scene) { s.in.Expires = noon.Unix() }, payment.Expired},
		{"an expired card", func(s *scene) { s.in.Expiry = "2610" }, payment.InvalidAccount},
		{"no nonce", func(s *scene) { s.in.Nonce = "" }, payment.BadJSON},
		{"an amount of nothing", func(s *scene) { s.in.Amount.Minor = 0 }, payment.BadAmount},
	} {
		s := newScene(t)
		tt.change(s)
		if _, err := s.open(t); codeOf(err) != tt.code {
			t.Errorf("%s: got %v, want %s", tt.name, err, tt.code)
		}
	}
}

func TestABrokenInstructionDoesNotShowTheNumber(t *testing.T) {
	t.Parallel()
	plain, err := newScene(t).in.Encode()
	if err != nil {
		t.Fatal(err)
	}
	good := string(plain)
	for name, text := range map[string]string{
		"the number twice":    strings.Replace(good, `"number":`, `"number":"`+digits+`","number":`, 1),
		"as a member":         strings.Replace(good, `"number"`, `"`+digits+`"`, 1),
		"as a JSON number":    strings.Replace(good, `"`+digits+`"`, digits, 1),
		"a wrong check digit": strings.Replace(good, digits, digits[:15]+"2", 1),
		"data behind":         good + digits,
	} {
		_, err := account.Decode([]byte(text))
		if err == nil || strings.Contains(err.Error(), digits[:12]) {
			t.Errorf("%s: got %v, want a refusal without the number", name, err)
		}
	}
}

func TestTheVaultOpensOnlyItsOwn(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "vault.key")
	v, err := account.OpenVault(path)
	if err != nil {
		t.Fatal(err)
	}
	sealed := v.Seal("a", []byte(digits))
	if bytes.Contains(sealed, []byte(digits)) || bytes.Equal(sealed, v.Seal("a", []byte(digits))) {
		t.Error("the number is in what is sealed, or sealed twice in the same way")
	}
	again, err := account.OpenVault(path)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := again.Open("a", sealed); err != nil || string(got) != digits || again.Index(number(t)) != v.Index(number(t)) {
		t.Errorf("after reopening: got %q, %v", got, err)
	}
	if _, err := v.Open("b", sealed); err == nil {
		t.Error("what belongs to a was opened for b")
	}
	sealed[len(sealed)-1] ^= 1
	if _, err := v.Open("a", sealed); err == nil {
		t.Error("what was changed was opened")
	}
	other, err := account.OpenVault(filepath.Join(t.TempDir(), "vault.key"))
	if err != nil {
		t.Fatal(err)
	}
	if other.Index(number(t)) == v.Index(number(t)) {
		t.Error("two vaults have the same index")
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the key file has mode %v, %v; want 0600", info.Mode(), err)
	}
	if err := os.WriteFile(path, []byte("short"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := account.OpenVault(path); err == nil {
		t.Error("a short key was taken")
	}
}

func FuzzDecode(f *testing.F) {
	plain, err := newScene(f).in.Encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(plain)
	f.Fuzz(func(t *testing.T, data []byte) {
		in, err := account.Decode(data)
		if err != nil {
			if codeOf(err) == "" {
				t.Errorf("got %v, want a refusal", err)
			}
			return
		}
		again, err := in.Encode()
		if err != nil {
			t.Fatal(err)
		}
		if back, err := account.Decode(again); err != nil || back != in {
			t.Errorf("%s: read again it is %+v, %v", data, back, err)
		}
	})
}
