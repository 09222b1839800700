package ocsp_test

import (
	"bytes"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"io"
	"iter"
	"math/big"
	"slices"
	"testing"
	"time"

	"github.com/payca/payca/ocsp"
)

func entries(list ...ocsp.Entry) iter.Seq2[ocsp.Entry, error] {
	return func(yield func(ocsp.Entry, error) bool) {
		for _, e := range list {
			if !yield(e, nil) {
				return
			}
		}
	}
}

func (a *authority) crl(number uint64) ocsp.CRL {
	return ocsp.CRL{Issuer: a.cert, Number: number, ThisUpdate: epoch, NextUpdate: epoch.Add(24 * time.Hour)}
}

// sign signs as an issuer does that has no other way to keep to one list.
func (a *authority) sign(tbs func(io.Writer) error) ([]byte, error) {
	var b bytes.Buffer
	if err := tbs(&b); err != nil {
		return nil, err
	}
	alg, err := ocsp.SignatureAlgorithmFor(a.key.Public())
	if err != nil {
		return nil, err
	}
	return alg.Sign(a.key, b.Bytes())
}

// signCRL encodes and signs a CRL.
func (a *authority) signCRL(tb testing.TB, c ocsp.CRL, list ...ocsp.Entry) []byte {
	tb.Helper()
	var b bytes.Buffer
	if err := c.Write(&b, entries(list...), a.sign); err != nil {
		tb.Fatal(err)
	}
	return b.Bytes()
}

// manyEntries makes n entries with serials of 20 octets and every reason.
func manyEntries(n int) []ocsp.Entry {
	reasons := []int{0, 1, 2, 3, 4, 5, 6, 9, 10}
	out := make([]ocsp.Entry, n)
	for i := range out {
		serial := slices.Repeat([]byte{0x7f}, 20)
		serial[17], serial[18], serial[19] = byte(i>>16), byte(i>>8), byte(i)
		out[i] = ocsp.Entry{Serial: serial, At: epoch.Add(-time.Duration(i) * time.Minute), Reason: reasons[i%len(reasons)]}
	}
	return out
}

func TestCRLsAreReadByTheStandardLibraryAndByUs(t *testing.T) {
	t.Parallel()
	odd := []ocsp.Entry{
		{Serial: []byte{1}, At: epoch},
		{Serial: []byte{0, 0x80}, At: time.Date(2050, 1, 1, 0, 0, 0, 0, time.UTC), Reason: 1}, // leading zero; GeneralizedTime
		{Serial: []byte{1, 0}, At: time.Date(1999, 1, 1, 0, 0, 0, 0, time.UTC), Reason: 6},
		{Serial: slices.Repeat([]byte{0x7f}, 20), At: epoch, Reason: 10},
	}
	for _, kind := range []string{"P-256", "P-384", "Ed25519", "RSA-2048"} {
		for name, list := range map[string][]ocsp.Entry{"empty": nil, "odd": odd, "one": odd[:1], "six": manyEntries(6), "many": manyEntries(3000)} {
			t.Run(kind+" "+name, func(t *testing.T) {
				t.Parallel()
				ca := newAuthority(t, "ca", kind)
				der := ca.signCRL(t, ca.crl(1<<40), list...)
				theirs, err := x509.ParseRevocationList(der)
				if err != nil {
					t.Fatal(err)
				}
				if err := theirs.CheckSignatureFrom(ca.cert); err != nil {
					t.Error(err)
				}
				ours, err := ocsp.ParseCRL(der)
				if err != nil {
					t.Fatal(err)
				}
				if err := ours.CheckSignatureFrom(ca.cert); err != nil {
					t.Error(err)
				}
				scanned := 0
				info, err := ocsp.ScanCRL(bytes.NewReader(der), ca.cert, func(ocsp.Entry) error { scanned++; return nil })
				if err != nil || scanned != len(list) || info.Number != 1<<40 {
					t.Errorf("as a stream: got %d entries of number %d, %v, want %d", scanned, info.Number, err, len(list))
				}
				forged := bytes.Clone(der)
				forged[len(forged)-1] ^= 1
				if _, err := ocsp.ScanCRL(bytes.NewReader(forged), ca.cert, func(ocsp.Entry) error { return nil }); err == nil {
					t.Error("as a stream: a forged signature was believed")
				}
				if theirs.Number.Uint64() != 1<<40 || ours.Number != 1<<40 || !bytes.Equal(theirs.AuthorityKeyId, ca.cert.SubjectKeyId) {
					t.Errorf("got numbers %v and %d, want %d", theirs.Number, ours.Number, uint64(1)<<40)
				}
				if len(theirs.RevokedCertificateEntries) != len(list) || ours.Len() != len(list) {
					t.Fatalf("got %d and %d entries, want %d", len(theirs.RevokedCertificateEntries), ours.Len(), len(list))
				}
				for i, want := range list {
					e := theirs.RevokedCertificateEntries[i]
					got, ok := ours.Lookup(want.Serial)
					if !ok || got.Reason != want.Reason || !got.At.Equal(want.At) {
						t.Fatalf("got %+v, want %+v", got, want)
					}
					if e.ReasonCode != want.Reason || !e.RevocationTime.Equal(want.At) || !bytes.Equal(e.SerialNumber.Bytes(), got.Serial) {
						t.Fatalf("x509 got %+v, want %+v", e, want)
					}
					if want.Reason == 0 && len(e.Extensions) != 0 {
						t.Errorf("reason 0 is written")
					}
				}
				if _, ok := ours.Lookup([]byte{0x33}); ok {
					t.Error("a serial that is not listed: got an entry")
				}
			})
		}
	}
}

func TestCRLRefuses(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t, "ca", "P-256")
	one := ocsp.Entry{Serial: []byte{5}, At: epoch}
	edit := func(f func(*ocsp.Entry)) []ocsp.Entry { e := one; f(&e); return []ocsp.Entry{e} }
	leaf := ca.leaf(t, 1)
	noKeyID := *ca.cert
	noKeyID.SubjectKeyId = nil
	tests := []struct {
		name string
		crl  ocsp.CRL
		list []ocsp.Entry
	}{
		{"reason 7", ca.crl(1), edit(func(e *ocsp.Entry) { e.Reason = 7 })},
		{"removeFromCRL in a full list", ca.crl(1), edit(func(e *ocsp.Entry) { e.Reason = 8 })},
		{"reason 11", ca.crl(1), edit(func(e *ocsp.Entry) { e.Reason = 11 })},
		{"serial 0", ca.crl(1), edit(func(e *ocsp.Entry) { e.Serial = []byte{0} })},
		{"serial of 21 octets", ca.crl(1), edit(func(e *ocsp.Entry) { e.Serial = slices.Repeat([]byte{1}, 21) })},
		{"no time", ca.crl(1), edit(func(e *ocsp.Entry) { e.At = time.Time{} })},
		{"a serial twice", ca.crl(1), []ocsp.Entry{one, one}},
		{"descending", ca.crl(1), []ocsp.Entry{{Serial: []byte{1, 0}, At: epoch}, one}},
		{"no issuer", ocsp.CRL{ThisUpdate: epoch, NextUpdate: epoch.Add(1)}, nil},
		{"an issuer that may not", ocsp.CRL{Issuer: leaf, ThisUpdate: epoch, NextUpdate: epoch.Add(1)}, nil},
		{"an issuer without key id", ocsp.CRL{Issuer: &noKeyID, ThisUpdate: epoch, NextUpdate: epoch.Add(1)}, nil},
		{"no nextUpdate", ocsp.CRL{Issuer: ca.cert, ThisUpdate: epoch}, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if err := tt.crl.Write(io.Discard, entries(tt.list...), ca.sign); err == nil {
				t.Error("got nil, want an error")
			}
		})
	}
	broken := errors.New("disk")
	err := ca.crl(1).Write(io.Discard, func(yield func(ocsp.Entry, error) bool) { yield(ocsp.Entry{}, broken) }, ca.sign)
	if !errors.Is(err, broken) {
		t.Errorf("got %v, want the store's error", err)
	}
	err = ca.crl(1).Write(io.Discard, entries(), func(func(io.Writer) error) ([]byte, error) { return nil, broken })
	if !errors.Is(err, broken) {
		t.Errorf("got %v, want the signer's error", err)
	}
	// Entries that change between the walks are found out, longer or shorter.
	for _, second := range [][]ocsp.Entry{nil, {one, one}, edit(func(e *ocsp.Entry) { e.Reason = 1 }), edit(func(e *ocsp.Entry) { e.Serial = nil })} {
		walks := 0
		changing := func(yield func(ocsp.Entry, error) bool) {
			list := []ocsp.Entry{one}
			if walks++; walks > 1 {
				list = second
			}
			entries(list...)(yield)
		}
		if err := ca.crl(1).Write(io.Discard, changing, ca.sign); err == nil {
			t.Errorf("entries that became %v: got nil, want an error", second)
		}
	}
}

func TestParseCRLRefuses(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t, "ca", "P-256")
	good := ca.signCRL(t, ca.crl(7), ocsp.Entry{Serial: []byte{5}, At: epoch, Reason: 1})
	swap := func(old, with string) []byte { return bytes.Replace(good, []byte(old), []byte(with), 1) }
	tests := []struct {
		name string
		der  []byte
	}{
		{"empty", nil},
		{"cut off", good[:len(good)-1]},
		{"trailing byte", append(slices.Clone(good), 0)},
		{"a delta indicator without a number", swap("\x55\x1d\x14", "\x55\x1d\x1b")},
		{"a distribution point that is none", swap("\x55\x1d\x23", "\x55\x1d\x1c")},
		{"a number twice", swap("\x55\x1d\x23", "\x55\x1d\x14")},
		{"without a number", swap("\x55\x1d\x14", "\x55\x1d\x77")},
		{"reason 7", swap("\x0a\x01\x01", "\x0a\x01\x07")},
		{"reason 8 in a full list", swap("\x0a\x01\x01", "\x0a\x01\x08")},
		{"serial 0", swap("\x02\x01\x05", "\x02\x01\x00")},
		{"negative serial", swap("\x02\x01\x05", "\x02\x01\x85")},
		{"version 1", swap("\x02\x01\x01", "\x02\x01\x00")},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if bytes.Equal(tt.der, good) {
				t.Fatal("nothing was changed")
			}
			if _, err := ocsp.ParseCRL(tt.der); err == nil {
				t.Error("got nil, want an error")
			}
		})
	}
	l, err := ocsp.ParseCRL(good)
	if err != nil {
		t.Fatal(err)
	}
	for name, other := range map[string]*x509.Certificate{
		"another name": newAuthority(t, "other", "P-256").cert,
		"another key":  newAuthority(t, "ca", "P-256").cert,
	} {
		if err := l.CheckSignatureFrom(other); err == nil {
			t.Errorf("%s: got nil, want an error", name)
		}
	}
	last := bytes.LastIndex(good, []byte("\x2a\x86\x48\xce\x3d\x04\x03\x02"))
	differ := bytes.Clone(good)
	differ[last+7] = 3
	if _, err := ocsp.ParseCRL(differ); err == nil {
		t.Error("another algorithm outside than inside: got nil, want an error")
	}
	// One changed reason: the signature says so.
	l, err = ocsp.ParseCRL(swap("\x0a\x01\x01", "\x0a\x01\x04"))
	if err != nil {
		t.Fatal(err)
	}
	if err := l.CheckSignatureFrom(ca.cert); err == nil {
		t.Error("a changed entry: got nil, want an error")
	}
}

func TestParseCRLTakesEntriesInAnyOrder(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t, "ca", "P-256")
	template := &x509.RevocationList{Number: big.NewInt(3), ThisUpdate: epoch, NextUpdate: epoch.Add(time.Hour)}
	for _, serial := range []int64{9, 300, 2, 70000, 5} {
		template.RevokedCertificateEntries = append(template.RevokedCertificateEntries,
			x509.RevocationListEntry{SerialNumber: big.NewInt(serial), RevocationTime: epoch, ReasonCode: 4})
	}
	der, err := x509.CreateRevocationList(rand.Reader, template, ca.cert, ca.key)
	if err != nil {
		t.Fatal(err)
	}
	l, err := ocsp.ParseCRL(der)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.CheckSignatureFrom(ca.cert); err != nil {
		t.Error(err)
	}
	for _, e := range template.RevokedCertificateEntries {
		if got, ok := l.Lookup(e.SerialNumber.Bytes()); !ok || got.Reason != 4 {
			t.Errorf("serial %v: got %+v, %v, want reason 4", e.SerialNumber, got, ok)
		}
	}
}

func FuzzParseCRL(f *testing.F) {
	ca := newAuthority(f, "ca", "P-256")
	f.Add(ca.signCRL(f, ca.crl(1)))
	f.Add(ca.signCRL(f, ca.crl(2), manyEntries(12)...))
	f.Fuzz(func(t *testing.T, der []byte) {
		l, err := ocsp.ParseCRL(der)
		if err != nil {
			return
		}
		theirs, err := x509.ParseRevocationList(der)
		if err != nil {
			return // stricter in places that do not matter to a lookup
		}
		if l.Len() != len(theirs.RevokedCertificateEntries) {
			t.Fatalf("got %d entries, x509 got %d", l.Len(), len(theirs.RevokedCertificateEntries))
		}
		for _, e := range theirs.RevokedCertificateEntries {
			if _, ok := l.Lookup(e.SerialNumber.Bytes()); !ok {
				t.Errorf("serial %v is lost", e.SerialNumber)
			}
		}
	})
}
