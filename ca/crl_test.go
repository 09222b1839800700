package ca_test

import (
	"bytes"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"io"
	"math/big"
	"testing"
	"time"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"

	"github.com/payca/payca/ca"
	"github.com/payca/payca/ca/audit"
	"github.com/payca/payca/policy"
)

// goodList returns the TBSCertList of an issuer in the encoding of crypto/x509, signed by nobody that counts.
func goodList(t testing.TB, w *world, issuer string) func(uint64) ([]byte, error) {
	return func(number uint64) ([]byte, error) {
		for _, is := range w.cfg.Issuers {
			if is.Name == issuer {
				return listOf(t, is, number, w.now(), 2), nil
			}
		}
		return nil, errors.New("no such issuer")
	}
}

func listOf(t testing.TB, is ca.Issuer, number uint64, at time.Time, entries int, extra ...pkix.Extension) []byte {
	t.Helper()
	list := &x509.RevocationList{Number: new(big.Int).SetUint64(number), ThisUpdate: at, NextUpdate: at.Add(time.Hour), ExtraExtensions: extra}
	for i := range entries {
		list.RevokedCertificateEntries = append(list.RevokedCertificateEntries, x509.RevocationListEntry{
			SerialNumber: big.NewInt(int64(i + 1)), RevocationTime: at, ReasonCode: 1,
		})
	}
	der, err := x509.CreateRevocationList(rand.Reader, list, is.Certificate, is.Signer)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := x509.ParseRevocationList(der)
	if err != nil {
		t.Fatal(err)
	}
	return parsed.RawTBSRevocationList
}

// signCRL has the authority sign the list that tbs makes, given octet by octet or at once.
func signCRL(t testing.TB, w *world, issuer string, tbs func(number uint64) ([]byte, error)) (der, sig []byte, err error) {
	t.Helper()
	signing, err := w.ca.BeginCRL(t.Context(), issuer, "full")
	if err != nil {
		return nil, nil, err
	}
	if der, err = tbs(signing.Number()); err != nil {
		return nil, nil, err
	}
	if sig, err = signing.Sign(whole(der)); err != nil {
		return nil, nil, err
	}
	again, err := signing.Sign(func(out io.Writer) error {
		for i := range der {
			if _, err := out.Write(der[i : i+1]); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil || len(again) == 0 {
		t.Errorf("octet by octet: %v", err)
	}
	return der, sig, nil
}

// whole writes bytes at once.
func whole(der []byte) func(io.Writer) error {
	return func(out io.Writer) error {
		_, err := out.Write(der)
		return err
	}
}

func TestTheGateSignsListsOfTheIssuerWithGrowingNumbers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	issuer, err := w.ca.Issuer(policy.BankCA)
	if err != nil {
		t.Fatal(err)
	}
	var last uint64
	for range 3 {
		var number uint64
		tbs, sig, err := signCRL(t, w, policy.BankCA, func(n uint64) ([]byte, error) {
			number = n
			return goodList(t, w, policy.BankCA)(n)
		})
		if err != nil {
			t.Fatal(err)
		}
		if number <= last {
			t.Errorf("number %d after %d", number, last)
		}
		last = number
		if err := issuer.CheckSignature(x509.ECDSAWithSHA256, tbs, sig); err != nil {
			t.Error(err)
		}
		w.advance(-time.Hour) // whatever the clock does
	}
	if got := len(w.events(audit.CRLSigned)); got != 3 {
		t.Errorf("%d events, want 3", got)
	}
}

func TestTheGateRefusesWhatIsNoListOfTheIssuer(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	leaf := w.issue("shop1", newKey(t)).Leaf
	merchant, bank := w.cfg.Issuers[1], w.cfg.Issuers[3]
	good := listOf(t, merchant, 7, start, 1)
	if _, err := w.ceremony.SignRootCRL(whole(good)); err == nil {
		t.Error("the root signed a merchant list")
	}
	for name, list := range map[string]func(uint64) ([]byte, error){
		"a certificate":          func(uint64) ([]byte, error) { return leaf.RawTBSCertificate, nil },
		"nothing":                func(uint64) ([]byte, error) { return nil, nil },
		"a list of another CA":   func(n uint64) ([]byte, error) { return listOf(t, bank, n, start, 1), nil },
		"another number":         func(n uint64) ([]byte, error) { return listOf(t, merchant, n+1, start, 1), nil },
		"a list from the future": func(n uint64) ([]byte, error) { return listOf(t, merchant, n, start.Add(time.Hour), 1), nil },
		"bytes after the list":   func(n uint64) ([]byte, error) { return append(listOf(t, merchant, n, start, 1), 0), nil },
		"a list cut short":       func(n uint64) ([]byte, error) { l := listOf(t, merchant, n, start, 1); return l[:len(l)-1], nil },
		"another version": func(n uint64) ([]byte, error) {
			return bytes.Replace(listOf(t, merchant, n, start, 1), []byte{2, 1, 1}, []byte{2, 1, 0}, 1), nil
		},
		"another algorithm": func(n uint64) ([]byte, error) {
			return bytes.Replace(listOf(t, merchant, n, start, 1), []byte{0xce, 0x3d, 4, 3, 2}, []byte{0xce, 0x3d, 4, 3, 3}, 1), nil
		},
		"another key identifier": func(n uint64) ([]byte, error) {
			other := *merchant.Certificate
			other.SubjectKeyId = bank.Certificate.SubjectKeyId
			return listOf(t, ca.Issuer{Certificate: &other, Signer: merchant.Signer}, n, start, 1), nil
		},
		"something after the extensions": func(n uint64) ([]byte, error) {
			return resequence(t, listOf(t, merchant, n, start, 1), func(list []byte) []byte { return append(list, 5, 0) }), nil
		},
		"no extensions": func(n uint64) ([]byte, error) {
			return resequence(t, listOf(t, merchant, n, start, 1), func(list []byte) []byte { return list[:bytes.LastIndex(list, []byte{0xa0})] }), nil
		},
		"an extension twice": func(n uint64) ([]byte, error) {
			return bytes.Replace(listOf(t, merchant, n, start, 1, pkix.Extension{Id: []int{2, 5, 29, 99}, Value: []byte{2, 1, byte(n)}}),
				[]byte{0x55, 29, 99, 4}, []byte{0x55, 29, 20, 4}, 1), nil
		},
		"an error": func(uint64) ([]byte, error) { return nil, errors.New("no list") },
	} {
		tbs, sig, err := signCRL(t, w, policy.MerchantCA, list)
		if err == nil || tbs != nil || sig != nil {
			t.Errorf("%s was signed", name)
		}
	}
	if _, _, err := signCRL(t, w, "root", goodList(t, w, "root")); !errors.Is(err, ca.ErrNotFound) {
		t.Errorf("error %v, want %v", err, ca.ErrNotFound)
	}
}

func TestEmptyListIsSigned(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, _, err := signCRL(t, w, policy.MerchantCA, func(n uint64) ([]byte, error) { return listOf(t, w.cfg.Issuers[1], n, start, 0), nil })
	if err != nil {
		t.Error(err)
	}
}

func TestRootSignsItsOwnList(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	tbs := listOf(t, ca.Issuer{Certificate: w.ceremony.Root, Signer: w.ceremony.RootSigner}, 1, start, 1)
	later := ca.Ceremony{Root: w.ceremony.Root, RootSigner: w.ceremony.RootSigner, Now: w.now}
	sig, err := later.SignRootCRL(whole(tbs))
	if err != nil {
		t.Fatal(err)
	}
	if err := w.ceremony.Root.CheckSignature(x509.ECDSAWithSHA384, tbs, sig); err != nil {
		t.Error(err)
	}
	if _, err := later.SignRootCRL(whole(w.cfg.Issuers[0].Certificate.RawTBSCertificate)); err == nil {
		t.Error("the root signed a certificate")
	}
}

// FuzzSignRootCRL looks for signed bytes that crypto/x509 does not read as a list, or reads as a certificate.
func FuzzSignRootCRL(f *testing.F) {
	w := newWorld(f)
	root := ca.Issuer{Certificate: w.ceremony.Root, Signer: w.ceremony.RootSigner}
	f.Add(listOf(f, root, 1, start, 0))
	f.Add(listOf(f, root, 1, start, 3))
	f.Add(w.ceremony.Root.RawTBSCertificate)
	f.Fuzz(func(t *testing.T, tbs []byte) {
		sig, err := w.ceremony.SignRootCRL(whole(tbs))
		if err != nil {
			return
		}
		der := wrap(tbs, sig)
		if _, err := x509.ParseCertificate(der); err == nil {
			t.Fatalf("a certificate was signed: %x", der)
		}
	})
}

// resequence changes what is inside a SEQUENCE.
func resequence(t *testing.T, der []byte, change func([]byte) []byte) []byte {
	t.Helper()
	var inside cryptobyte.String
	in := cryptobyte.String(der)
	if !in.ReadASN1(&inside, asn1.SEQUENCE) {
		t.Fatal("no SEQUENCE")
	}
	var b cryptobyte.Builder
	b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) { b.AddBytes(change(bytes.Clone(inside))) })
	return b.BytesOrPanic()
}

// wrap puts tbs and its ECDSA-with-SHA-384 signature into the SEQUENCE that certificates and lists share.
func wrap(tbs, sig []byte) []byte {
	var b cryptobyte.Builder
	b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddBytes(tbs)
		b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddBytes([]byte{6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 3})
		})
		b.AddASN1BitString(sig)
	})
	return b.BytesOrPanic()
}
