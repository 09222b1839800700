package boltstore_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"path/filepath"
	"testing"
	"time"

	"github.com/payca/payca/ca"
	"github.com/payca/payca/ca/audit"
	"github.com/payca/payca/ca/boltstore"
)

func TestSmoke(t *testing.T) {
	ctx := t.Context()
	_, key, _ := ed25519.GenerateKey(rand.Reader)
	log, err := audit.New(audit.Config{Origin: "x/ca", Signer: key})
	if err != nil {
		t.Fatal(err)
	}
	s, err := boltstore.Open(ctx, boltstore.Config{Path: filepath.Join(t.TempDir(), "a.db"), Log: log})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 5 {
		sn := ca.Serial{19: byte(i + 1)}
		if err := s.Reserve(ctx, ca.Intent{Serial: sn, Issuer: "merchant"}); err != nil {
			t.Fatal(err)
		}
		if i == 4 {
			if err := s.CloseIntent(ctx, ca.Revocation{Serial: sn, Issuer: "merchant", At: time.Now()}, audit.Event{Kind: audit.IntentClosed}); err != nil {
				t.Fatal(err)
			}
			if err := s.Reserve(ctx, ca.Intent{Serial: sn}); !errors.Is(err, ca.ErrSerialUsed) {
				t.Fatal(err)
			}
			continue
		}
		r, err := s.Issue(ctx, ca.Issuance{Record: ca.Record{Serial: sn, Issuer: "merchant", Party: "p", DER: []byte{byte(i)}}, Event: audit.Event{Kind: audit.CertificateIssued}})
		if err != nil || r.Index != uint64(i) {
			t.Fatal(r, err)
		}
	}
	n := 0
	for r, err := range s.Certificates(ctx, ca.Filter{Party: "p", From: true, After: 1}) {
		n++
		t.Log(r.Index, err)
	}
	if n != 2 {
		t.Fatal(n)
	}
	rep, err := audit.Verify(ctx, s.Log(), log.VerifierKey())
	t.Log(rep, err)
	if err != nil || rep.Size != 5 {
		t.Fatal(err)
	}
	st, err := s.Status(ctx, "merchant", ca.Serial{19: 5})
	t.Log(st, err)
	t.Log(s.Check(ctx), s.Close())
}
