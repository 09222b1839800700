package catest_test

import (
	"bufio"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	mathrand "math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/payca/payca/ca"
	"github.com/payca/payca/ca/audit"
	"github.com/payca/payca/ca/boltstore"
	"github.com/payca/payca/ca/lint"
	"github.com/payca/payca/policy"
)

// What a child of the kill sweep is told: where the CA is, and POINT:N, the point at which it dies when it passes it for the
// Nth time.
const (
	envDir   = "PAYCA_TEST_KILL_DIR"
	envPoint = "PAYCA_TEST_KILL_POINT"
)

// killPoints are the steps of the gate, in its order.
var killPoints = []string{"before-commit", "after-commit", "lint", "before-sign", "after-sign", "issued", "revoked"}

// A mortal dies, as kill -9 has it, at a point of its life.
type mortal struct {
	point string
	left  atomic.Int64
}

func newMortal() *mortal {
	m := &mortal{}
	point, number, _ := strings.Cut(os.Getenv(envPoint), ":")
	m.point = point
	n, _ := strconv.ParseInt(number, 10, 64)
	m.left.Store(n)
	return m
}

func (m *mortal) reach(point string) error {
	if point == m.point && m.left.Add(-1) == 0 {
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {}
	}
	return nil
}

// signer is a CA key that dies before or after it signs.
type signer struct {
	crypto.Signer
	m *mortal
}

func (s signer) Sign(random io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	_ = s.m.reach("before-sign")
	sig, err := s.Signer.Sign(random, digest, opts)
	_ = s.m.reach("after-sign")
	return sig, err
}

// An office is the CA of the kill sweep: its files, and once it is open, its authority.
type office struct {
	dir       string
	store     *boltstore.Store
	authority *ca.Authority
	logKey    string
}

// found makes the keys and certificates of a CA.
func found(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	ceremony, err := ca.Create(ca.CeremonyConfig{Network: "pay.example", StatusURL: "http://status.example"})
	must(t, err)
	_, logKey, err := ed25519.GenerateKey(rand.Reader)
	must(t, err)
	write := func(name string, der []byte, err error) {
		must(t, err)
		must(t, os.WriteFile(filepath.Join(dir, name), der, 0o600))
	}
	write("root.crt", ceremony.Root.Raw, nil)
	for _, is := range ceremony.Issuers {
		write(is.Name+".crt", is.Certificate.Raw, nil)
		der, err := x509.MarshalPKCS8PrivateKey(is.Signer)
		write(is.Name+".key", der, err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(logKey)
	write("log.key", der, err)
	return dir
}

// openOffice opens the CA, with what a crash left closed, as a server does when it starts.
func openOffice(dir string, m *mortal) (*office, error) {
	read := func(name string) []byte {
		raw, _ := os.ReadFile(filepath.Join(dir, name)) // without it the parser fails
		return raw
	}
	o := &office{dir: dir}
	key, err := x509.ParsePKCS8PrivateKey(read("log.key"))
	if err != nil {
		return nil, err
	}
	log, err := audit.New(audit.Config{Origin: "pay.example/ca", Signer: key.(crypto.Signer)})
	if err != nil {
		return nil, err
	}
	o.logKey = log.VerifierKey()
	root, err := x509.ParseCertificate(read("root.crt"))
	if err != nil {
		return nil, err
	}
	cfg := ca.Config{Network: "pay.example", Root: root, StatusURL: "http://status.example"}
	for _, name := range policy.CAs() {
		certificate, err := x509.ParseCertificate(read(name + ".crt"))
		if err != nil {
			return nil, err
		}
		key, err := x509.ParsePKCS8PrivateKey(read(name + ".key"))
		if err != nil {
			return nil, err
		}
		cfg.Issuers = append(cfg.Issuers, ca.Issuer{Name: name, Certificate: certificate, Signer: signer{key.(crypto.Signer), m}})
	}
	for _, p := range policy.DefaultProfiles() {
		profile, err := policy.NewProfile(p)
		if err != nil {
			return nil, err
		}
		cfg.Profiles = append(cfg.Profiles, profile)
	}
	linter, err := lint.New(lint.Config{Network: cfg.Network, StatusURL: cfg.StatusURL, Issuers: cfg.Issuers, Profiles: cfg.Profiles})
	if err != nil {
		return nil, err
	}
	cfg.Linter = func(c *x509.Certificate) error { _ = m.reach("lint"); return linter(c) }
	o.store, err = boltstore.Open(context.Background(), boltstore.Config{
		Path: filepath.Join(dir, "store.db"), Log: log,
		BeforeCommit: func() error { return m.reach("before-commit") }, AfterCommit: func() error { return m.reach("after-commit") },
	})
	if err != nil {
		return nil, err
	}
	cfg.Store = o.store
	o.authority, err = ca.New(context.Background(), cfg)
	return o, err
}

const shop = "shop1"

// register makes the party to which the children issue, once.
func (o *office) register(ctx context.Context) error {
	if _, err := o.store.Party(ctx, shop); !errors.Is(err, ca.ErrNotFound) {
		return err
	}
	now := time.Now().UTC().Truncate(time.Second)
	p := policy.Party{ID: shop, Role: policy.Merchant, Name: "Shop", DNSNames: []string{"shop.example"}, State: policy.Active, Created: now}
	return o.store.AddParty(ctx, p, audit.Event{Time: now, Kind: audit.PartyAdded, Party: shop})
}

// TestIssueThroughTheGateUntilKilled is the child: it issues, revokes every third, and says what it handed out.
func TestIssueThroughTheGateUntilKilled(t *testing.T) {
	dir := os.Getenv(envDir)
	if dir == "" {
		t.Skip("runs as a child of TestTheKillSweep")
	}
	m := newMortal()
	o, err := openOffice(dir, m)
	must(t, err)
	ctx := context.Background()
	must(t, o.register(ctx))
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	must(t, err)
	var mu sync.Mutex // guards stdout
	say := func(what string, text string) {
		_ = m.reach(what)
		mu.Lock()
		defer mu.Unlock()
		fmt.Fprintf(os.Stdout, "%s %s\n", what, text)
	}
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			for n := 0; ; n++ {
				issued, err := o.authority.Issue(ctx, ca.Request{Party: shop, CSR: csr, Requester: "test", Protocol: "local"})
				if err != nil {
					t.Errorf("issuing: %v", err)
					return
				}
				sum := sha256.Sum256(issued.Leaf.Raw)
				say("issued", hex.EncodeToString(sum[:]))
				if n%3 > 0 {
					continue
				}
				serial, err := ca.SerialOf(issued.Leaf.SerialNumber)
				if err == nil {
					_, err = o.authority.Revoke(ctx, ca.RevokeRequest{Serial: serial, Reason: ca.Superseded, By: "test"})
				}
				if err != nil {
					t.Errorf("revoking: %v", err)
					return
				}
				say("revoked", serial.String())
			}
		})
	}
	group.Wait()
}

// told is what children said that they handed out.
type told struct {
	issued  map[[32]byte]bool
	revoked map[string]bool
}

// TestTheKillSweep is case 67: whatever a CA handed out before kill -9 is stored and in the log, at every point of the gate.
// PAYCA_TEST_KILLS says how often, 1000 in the long run.
func TestTheKillSweep(t *testing.T) {
	t.Parallel()
	kills := 50
	if testing.Short() {
		kills = len(killPoints) + 1
	}
	if n, err := strconv.Atoi(os.Getenv("PAYCA_TEST_KILLS")); err == nil {
		kills = n
	}
	dir := found(t)
	all := told{map[[32]byte]bool{}, map[string]bool{}}
	for n := range kills {
		point := "" // at random
		if i := n % (2 * len(killPoints)); i < len(killPoints) {
			point = killPoints[i] + ":" + strconv.Itoa(1+mathrand.IntN(8))
		}
		sweep(t, dir, point, &all)
		if last := n == kills-1; last || n%10 == 0 || testing.Short() {
			inspect(t, dir, &all)
		}
		if t.Failed() {
			t.Fatalf("after kill %d at %q", n+1, point)
		}
	}
	t.Logf("%d kills, %d certificates handed out, %d revocations told", kills, len(all.issued), len(all.revoked))
}

// sweep lets one child work until it dies.
func sweep(t *testing.T, dir, point string, all *told) {
	t.Helper()
	child := exec.Command(os.Args[0], "-test.run=^TestIssueThroughTheGateUntilKilled$", "-test.v")
	child.Env = append(os.Environ(), envDir+"="+dir, envPoint+"="+point)
	child.Stderr = os.Stderr
	out, err := child.StdoutPipe()
	must(t, err)
	must(t, child.Start())
	limit := time.AfterFunc(time.Minute, func() { _ = child.Process.Kill() })
	defer limit.Stop()
	first := sync.OnceFunc(func() {
		if point == "" {
			time.AfterFunc(time.Duration(mathrand.IntN(60_000))*time.Microsecond, func() { _ = child.Process.Kill() })
		}
	})
	lines := bufio.NewReader(out)
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			break // a line that has no end was not said
		}
		what, text, _ := strings.Cut(strings.TrimSpace(line), " ")
		switch what {
		case "issued":
			raw, err := hex.DecodeString(text)
			must(t, err)
			all.issued[[32]byte(raw)] = true
			first()
		case "revoked":
			all.revoked[text] = true
		case "---", "FAIL":
			t.Error(line)
		}
	}
	if err := child.Wait(); err == nil || child.ProcessState.Exited() {
		t.Errorf("got child %v, %v, want it killed", child.ProcessState, err)
	}
}

// inspect opens the CA as its next start does, and looks whether everything that was told is so.
func inspect(t *testing.T, dir string, all *told) {
	t.Helper()
	o, err := openOffice(dir, &mortal{})
	must(t, err)
	defer func() { must(t, o.store.Close()) }()
	ctx := t.Context()
	if intents, err := o.store.Intents(ctx); err != nil || len(intents) != 0 {
		t.Errorf("%d intents are open, %v, want them closed at the start", len(intents), err)
	}
	if _, err := audit.Verify(ctx, o.store.Log(), o.logKey); err != nil {
		t.Errorf("the log: %v", err)
	}
	found, serials := 0, map[ca.Serial]bool{}
	for record, err := range o.store.Certificates(ctx, ca.Filter{}) {
		must(t, err)
		if serials[record.Serial] {
			t.Errorf("serial %s twice", record.Serial)
		}
		serials[record.Serial] = true
		leaves, err := o.store.Log().Leaves(ctx, record.Index, 1)
		must(t, err)
		if event, err := audit.ParseEvent(leaves[0]); err != nil || event.Kind != audit.CertificateIssued || event.Serial != record.Serial.String() {
			t.Errorf("entry %d is %+v, %v, want the issuance of %s", record.Index, event, err, record.Serial)
		}
		if all.issued[sha256.Sum256(record.DER)] {
			found++
		}
		if all.revoked[record.Serial.String()] && record.Revocation == nil {
			t.Errorf("%s was told to be revoked and is not", record.Serial)
		}
		st, err := o.store.Status(ctx, record.Issuer, record.Serial)
		if err != nil || !st.Issued {
			t.Errorf("status of %s: %+v, %v, want it known", record.Serial, st, err)
		}
	}
	if found != len(all.issued) {
		t.Errorf("%d certificates were handed out, %d of them are stored", len(all.issued), found)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
