package network_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/payca/payca/ca"
	"github.com/payca/payca/cmd/internal/api"
	"github.com/payca/payca/cmd/internal/config"
	"github.com/payca/payca/cmd/internal/network"
	"github.com/payca/payca/enroll"
	"github.com/payca/payca/policy"
)

// approving has gateways and issuing CAs approved by one operator of two.
func approving(c *config.Config) {
	rule := &policy.ApprovalConfig{K: 1, Of: 2, By: policy.ByOperators}
	c.Profiles = []policy.ProfileConfig{{Name: "gateway", Role: policy.Gateway, Use: "tls", Validity: policy.Duration(30 * 24 * time.Hour), Approval: rule}}
	c.Approvals.Issuers, c.Approvals.Approvers = rule, []string{network.Operator, "op2"}
}

// vote approves a request as the identity in dir.
func vote(t *testing.T, dir, id string) api.VoteReply {
	t.Helper()
	source, err := enroll.OpenSource(enroll.SourceConfig{Dir: dir})
	must(t, err)
	client, err := api.NewClient(source)
	must(t, err)
	who, err := enroll.Open(dir)
	must(t, err)
	object, err := policy.SignVote(policy.VoteStatement{
		Network: "pay.example", Digest: id, Approve: true, Approver: who.Identity.String(), At: time.Now().UTC().Truncate(time.Second),
	}, who.Leaf(), who.Key)
	must(t, err)
	reply, err := client.Vote(t.Context(), id, object)
	must(t, err)
	return reply
}

func TestAnEnrollmentThatWaitsOutlivesLostAnswersAndRestarts(t *testing.T) {
	t.Parallel()
	r := startConfigured(t, network.Config{}, approving)
	op2 := r.enroll(t, "op2", policy.Operator)
	dir := filepath.Join(t.TempDir(), "gw1")
	cfg := enroll.EnrollConfig{Token: r.register(t, "gw1", policy.Gateway), Dir: dir, Poll: 10 * time.Millisecond}
	first, err := enroll.Enroll(t.Context(), cfg)
	must(t, err)
	if first.Action != enroll.Waiting || first.Pending.Missing != 1 {
		t.Fatalf("got %+v, want it waiting for one approval", first)
	}
	files, err := filepath.Glob(filepath.Join(dir, "enrollment-*.json"))
	must(t, err)
	if info, err := os.Stat(files[0]); len(files) != 1 || err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("got %v, %v, want one file of mode 0600", files, info)
	}

	// As if the answer had been lost: the party does not know the request's id.
	var kept map[string]any
	raw, err := os.ReadFile(files[0])
	must(t, err)
	must(t, json.Unmarshal(raw, &kept))
	delete(kept, "request")
	raw, err = json.Marshal(kept)
	must(t, err)
	must(t, os.WriteFile(files[0], raw, 0o600))
	again, err := enroll.Enroll(t.Context(), cfg)
	must(t, err)
	if again.Pending == nil || again.Pending.ID != first.Pending.ID {
		t.Fatalf("got %+v, want the same request %s", again, first.Pending.ID)
	}

	// Whoever has the token and another key gets nothing.
	elsewhere := cfg
	elsewhere.Dir = filepath.Join(t.TempDir(), "gw1")
	_, err = enroll.Enroll(t.Context(), elsewhere)
	if refused := problemOf(t, err); refused.Name() != "token-used" {
		t.Errorf("got %v for another key, want token-used", err)
	}

	cfg.Wait = true
	done := make(chan error, 1)
	go func() {
		outcome, err := enroll.Enroll(t.Context(), cfg)
		if err == nil && outcome.Action != enroll.Enrolled {
			err = errors.New("got " + string(outcome.Action))
		}
		done <- err
	}()
	vote(t, op2, first.Pending.ID)
	must(t, <-done)
	if left, err := filepath.Glob(filepath.Join(dir, "enrollment-*")); err != nil || len(left) != 0 {
		t.Errorf("got %v, %v, want nothing left of the waiting", left, err)
	}
	if _, err := enroll.Open(dir); err != nil {
		t.Error(err)
	}
}

// changeIssuer puts another certificate for the key of the merchant CA in place, signed by the root.
func changeIssuer(t *testing.T, dir string) []byte {
	t.Helper()
	passphrase, err := network.ReadPassphrase(filepath.Join(dir, "ca", "passphrase"))
	must(t, err)
	ring, err := ca.NewKeyring(passphrase)
	must(t, err)
	root, err := ca.OpenKey(t.Context(), filepath.Join(dir, "ca", "root.key"), ring)
	must(t, err)
	parents, err := enroll.ReadCertificates(filepath.Join(dir, "ca", "root.crt"))
	must(t, err)
	path := filepath.Join(dir, "ca", "issuers", "merchant.crt")
	old, err := enroll.ReadCertificates(path)
	must(t, err)
	template := *old[0]
	template.SerialNumber = new(big.Int).Add(old[0].SerialNumber, big.NewInt(1))
	der, err := x509.CreateCertificate(rand.Reader, &template, parents[0], old[0].PublicKey, root)
	must(t, err)
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	must(t, os.WriteFile(path, text, 0o600))
	return text
}

func TestAnotherIssuingCAIsServedOnlyWhenItWasApproved(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	conf := configure(t)
	approving(&conf)
	_, err := network.Create(t.Context(), network.CreateConfig{Dir: dir, Config: conf})
	must(t, err)
	path := filepath.Join(dir, "ca", "issuers", "merchant.crt")
	before, err := os.ReadFile(path)
	must(t, err)
	next := changeIssuer(t, dir)
	n, err := network.Open(t.Context(), network.Config{Dir: dir})
	if pin, ok := errors.AsType[*ca.PinError](err); !ok || pin.Kind != ca.AskIssuers {
		t.Fatalf("got %v, %v, want *ca.PinError", n, err)
	}
	must(t, os.WriteFile(path, before, 0o600))
	serveUntilDone(t, dir, func(r *running) {
		op2 := r.enroll(t, "op2", policy.Operator)
		for what, tt := range map[string]struct {
			files map[string][]byte
			want  string
		}{
			"no certificate":           {nil, "no certificate, want one at least"},
			"a CA that is none":        {map[string][]byte{"shop": next}, `issuing CA "shop", want one of consumer`},
			"no PEM":                   {map[string][]byte{"merchant": []byte("x")}, "want PEM"},
			"one that is not signed":   {map[string][]byte{"merchant": selfSigned(t)}, "certificate of the merchant CA"},
			"the one that is in force": {map[string][]byte{"merchant": before}, "what is in force already"},
		} {
			if _, err := r.operator.Propose(t.Context(), api.Proposal{Kind: ca.AskIssuers, Files: tt.files}); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%s: got %v, want %q", what, err, tt.want)
			}
		}
		answer, err := r.operator.Propose(t.Context(), api.Proposal{Kind: ca.AskIssuers, Files: map[string][]byte{"merchant": next}})
		must(t, err)
		vote(t, op2, answer.Pending.ID)
	})
	must(t, os.WriteFile(path, next, 0o600))
	serveUntilDone(t, dir, func(r *running) { r.enroll(t, "shop1", policy.Merchant) })
}

func selfSigned(t *testing.T) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), IsCA: true, BasicConstraintsValid: true, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	must(t, err)
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

// serveUntilDone serves the network in dir while do runs.
func serveUntilDone(t *testing.T, dir string, do func(r *running)) {
	t.Helper()
	n, err := network.Open(t.Context(), network.Config{Dir: dir})
	must(t, err)
	listeners, err := n.Listen()
	must(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- n.Serve(ctx, listeners) }()
	client := operator(t, dir)
	do(&running{dir: dir, url: n.URL(), status: n.StatusURL(), operator: client, network: n})
	client.HTTP.CloseIdleConnections()
	cancel()
	must(t, <-done)
}
