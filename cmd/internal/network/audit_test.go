package network_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/payca/payca/ca/audit"
	"github.com/payca/payca/cmd/internal/config"
	"github.com/payca/payca/cmd/internal/network"
	"github.com/payca/payca/enroll"
	"github.com/payca/payca/policy"
)

func TestTheServerProvesItsLog(t *testing.T) {
	t.Parallel()
	r := start(t)
	key, err := network.LogKey(r.dir)
	must(t, err)
	signed, err := r.operator.Head(t.Context())
	must(t, err)
	before, err := audit.ParseHead(signed, key)
	must(t, err)
	leaf, err := enroll.Open(r.enroll(t, "shop1", policy.Merchant))
	must(t, err)
	record, err := r.operator.Certificate(t.Context(), leaf.Leaf().SerialNumber.Text(16))
	must(t, err)
	proof, err := r.operator.Proof(t.Context(), record.Index)
	must(t, err)
	event, _, err := proof.Verify(key)
	if err != nil || event.Kind != audit.CertificateIssued || event.Thumbprint != record.Thumbprint {
		t.Errorf("got %+v, %v, want the issuance of %s", event, err, record.Thumbprint)
	}
	consistency, err := r.operator.Consistency(t.Context(), before.Size)
	must(t, err)
	if after, err := consistency.Verify(key, before); err != nil || after.Size <= before.Size {
		t.Errorf("got %+v, %v, want it to continue %+v", after, err, before)
	}
}

func TestProofsOfWhatIsNotThereAreRefused(t *testing.T) {
	t.Parallel()
	r := start(t)
	op, err := enroll.Open(filepath.Join(r.dir, network.Operator))
	must(t, err)
	for _, path := range []string{
		"/v1/audit/proof/99999", "/v1/audit/proof/x", "/v1/audit/proof/-1", "/v1/audit/consistency", "/v1/audit/consistency?old=0",
		"/v1/audit/consistency?old=99999", "/v1/audit/consistency?old=x",
	} {
		if status, name := r.request(t, op.TLS(), "GET", path, "", nil); status != 400 || name != "bad-parameter" {
			t.Errorf("%s: got %d %q, want 400 bad-parameter", path, status, name)
		}
	}
}

func TestASinkGetsTheWholeLogAndOneThatIsDownHoldsNothingUp(t *testing.T) {
	t.Parallel()
	r := startWith(t, network.Config{},
		config.Sink{Name: "archive", Type: "file", Path: "events.jsonl"},
		config.Sink{Name: "siem", Type: "syslog", Address: "127.0.0.1:1"}, // where nobody listens
	)
	r.enroll(t, "shop1", policy.Merchant)
	key, err := network.LogKey(r.dir)
	must(t, err)
	report, err := audit.Verify(t.Context(), r.operator, key)
	must(t, err)
	for until := time.Now().Add(20 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		health, err := r.operator.Health(t.Context())
		must(t, err)
		if len(health.Sinks) != 2 {
			t.Fatalf("got %+v, want two sinks", health.Sinks)
		}
		archive, siem := health.Sinks[0], health.Sinks[1]
		if siem.Delivered != 0 {
			t.Fatalf("got %+v, want nothing delivered", siem)
		}
		if archive.Delivered >= report.Size && archive.Error == "" && siem.Error != "" {
			break
		}
		if time.Now().After(until) {
			t.Fatalf("got %+v and %+v after 20 s, want %d delivered by the first and an error of the second", archive, siem, report.Size)
		}
	}
	leaves, err := r.operator.Leaves(t.Context(), 0, 1000)
	must(t, err)
	text, err := os.ReadFile(filepath.Join(r.dir, "events.jsonl"))
	must(t, err)
	for i, leaf := range leaves[:report.Size] {
		line, rest, _ := bytes.Cut(text, []byte("\n"))
		if !bytes.HasSuffix(line, append([]byte(`"event":`), append(leaf, '}')...)) {
			t.Fatalf("line %d: got %s, want %s", i, line, leaf)
		}
		text = rest
	}
}
