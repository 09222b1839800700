package audit_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"reflect"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/payca/payca/ca/audit"
)

func TestNewRefusesKeysThatAreNotEd25519(t *testing.T) {
	t.Parallel()
	p256, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for name, signer := range map[string]crypto.Signer{"no key": nil, "a P-256 key": p256} {
		if log, err := audit.New(audit.Config{Origin: "pay.example/ca", Signer: signer}); err == nil {
			t.Errorf("%s: got %v, want an error", name, log)
		}
	}
}

func TestNewTakesTheOriginsThatANoteCarries(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, origin string
		ok           bool
	}{
		{"a name with a path", "pay.example/ca", true},
		{"a name in another script", "zahlung.example/größe", true},
		{"nothing", "", false},
		{"a space", "pay example", false},
		{"a plus sign", "pay+example", false},
		{"a line feed", "pay.example\n7", false},
		{"a carriage return", "pay.example\r", false},
		{"a tab", "pay\texample", false},
		{"a form feed", "pay\fexample", false},
		{"a no-break space", "pay\u00a0example", false},
		{"a line separator", "pay\u2028example", false},
		{"a control character", "pay\x01example", false},
		{"octets that are not UTF-8", "pay\xffexample", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			log, err := audit.New(audit.Config{Origin: tt.origin, Signer: key(1)})
			if (err == nil) != tt.ok {
				t.Fatalf("got %v, want it accepted: %t", err, tt.ok)
			}
			if !tt.ok {
				return
			}
			m := filled(t, log, 3)
			if head, err := audit.ParseHead(m.head, log.VerifierKey()); err != nil || head.Origin != tt.origin || head.Size != 3 {
				t.Errorf("got %+v, %v, want origin %s and size 3", head, err, tt.origin)
			}
		})
	}
}

func TestVerifierKeyIsAKeyOfPackageNote(t *testing.T) {
	t.Parallel()
	log := newLog(t, "pay.example/ca", 1)
	m := filled(t, log, 5)
	verifier, err := note.NewVerifier(log.VerifierKey())
	if err != nil {
		t.Fatal(err)
	}
	n, err := note.Open(m.head, note.VerifierList(verifier))
	if err != nil {
		t.Fatal(err)
	}
	root, err := tlog.TreeHash(5, m)
	if err != nil {
		t.Fatal(err)
	}
	if want := "pay.example/ca\n5\n" + root.String() + "\n"; n.Text != want || len(n.Sigs) != 1 {
		t.Errorf("got %q with %d signatures, want %q with 1", n.Text, len(n.Sigs), want)
	}
}

func TestParseHeadRefuses(t *testing.T) {
	t.Parallel()
	log := newLog(t, "pay.example/ca", 1)
	good := filled(t, log, 5).head
	if head, err := audit.ParseHead(good, log.VerifierKey()); err != nil || head.Size != 5 {
		t.Fatalf("got %+v, %v, want size 5", head, err)
	}
	skey := "PRIVATE+KEY+" + strings.SplitN(log.VerifierKey(), "+", 3)[0] + "+" + strings.SplitN(log.VerifierKey(), "+", 3)[1] +
		"+" + base64.StdEncoding.EncodeToString(append([]byte{1}, key(1).Seed()...))
	signer, err := note.NewSigner(skey)
	if err != nil {
		t.Fatal(err)
	}
	sign := func(text string) []byte {
		head, err := note.Sign(&note.Note{Text: text}, signer)
		if err != nil {
			t.Fatal(err)
		}
		return head
	}
	root := strings.Repeat("A", 43) + "="
	if _, err := audit.ParseHead(sign("pay.example/ca\n5\n"+root+"\n"), log.VerifierKey()); err != nil {
		t.Fatal(err)
	}
	other := newLog(t, "pay.example/ca", 2)
	for _, tt := range []struct {
		name string
		head []byte
		key  string
	}{
		{"another key", good, other.VerifierKey()},
		{"another name of the key", good, newLog(t, "pay.example/other", 1).VerifierKey()},
		{"a key that is none", good, "pay.example/ca+00000000+AAAA"},
		{"no head", nil, log.VerifierKey()},
		{"a changed size", bytes.Replace(good, []byte("\n5\n"), []byte("\n6\n"), 1), log.VerifierKey()},
		{"a changed origin", bytes.Replace(good, []byte("pay.example/ca\n"), []byte("pay.example/cb\n"), 1), log.VerifierKey()},
		{"no signature", good[:bytes.Index(good, []byte("\n\n"))+2], log.VerifierKey()},
		{"another origin, signed", sign("pay.example/cb\n5\n" + root + "\n"), log.VerifierKey()},
		{"no size, signed", sign("pay.example/ca\n\n" + root + "\n"), log.VerifierKey()},
		{"a negative size, signed", sign("pay.example/ca\n-5\n" + root + "\n"), log.VerifierKey()},
		{"a size that is too large, signed", sign("pay.example/ca\n9223372036854775808\n" + root + "\n"), log.VerifierKey()},
		{"a short root, signed", sign("pay.example/ca\n5\nAAAA\n"), log.VerifierKey()},
		{"a root that is not base64, signed", sign("pay.example/ca\n5\n" + strings.Repeat("!", 44) + "\n"), log.VerifierKey()},
		{"no root, signed", sign("pay.example/ca\n5\n"), log.VerifierKey()},
	} {
		if head, err := audit.ParseHead(tt.head, tt.key); err == nil || head != (audit.Head{}) {
			t.Errorf("%s: got %+v, %v, want an error", tt.name, head, err)
		}
	}
}

func TestAnEventIsOneLineWhateverItsFieldsHold(t *testing.T) {
	t.Parallel()
	nasty := "a\r\nb\n{\"kind\":\"x\"}\u2028\x00"
	want := audit.Event{
		Time: time.Date(2030, 1, 2, 3, 4, 5, 6, time.UTC), Kind: audit.Kind(nasty), Actor: nasty, From: nasty, Party: nasty, Role: nasty,
		Issuer: nasty, Profile: nasty, Serial: nasty, Thumbprint: nasty, Reason: nasty, Attrs: map[string]string{nasty: nasty},
	}
	m := &memory{}
	if _, err := newLog(t, "pay.example/ca", 1).Append(m, want); err != nil {
		t.Fatal(err)
	}
	if bytes.ContainsAny(m.leaves[0], "\r\n\x00\u2028") {
		t.Errorf("got %q, want one line", m.leaves[0])
	}
	if got, err := audit.ParseEvent(m.leaves[0]); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
}

func TestParseEventRefuses(t *testing.T) {
	t.Parallel()
	for name, leaf := range map[string]string{
		"nothing": "", "no JSON": "x", "a list": "[]", "an unknown member": `{"kind":"x","more":1}`, "a second event": `{"kind":"x"}{"kind":"y"}`,
	} {
		if got, err := audit.ParseEvent([]byte(leaf)); err == nil {
			t.Errorf("%s: got %+v, want an error", name, got)
		}
	}
}
