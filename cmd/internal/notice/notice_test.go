package notice_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"net/url"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/payca/payca/ca"
	"github.com/payca/payca/ca/audit"
	"github.com/payca/payca/ca/boltstore"
	"github.com/payca/payca/ca/storetest"
	"github.com/payca/payca/cmd/internal/notice"
	"github.com/payca/payca/policy"
)

const day = 24 * time.Hour

var epoch = time.Date(2030, time.March, 4, 5, 6, 7, 0, time.UTC)

// recorder is a target that remembers what it got and answers what it is told to.
type recorder struct {
	mu      sync.Mutex
	got     []ca.Message
	err     error
	repeats bool
	during  func() // called while a message is sent
}

func (r *recorder) Repeats() bool { return r.repeats }

func (r *recorder) Send(_ context.Context, m ca.Message) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.got = append(r.got, m)
	if r.during != nil {
		r.during()
	}
	return r.err
}

// world is a store of certificates, a clock and what is told.
type world struct {
	store    *boltstore.Store
	now      time.Time
	mail     *recorder
	hook     *recorder
	notifier *notice.Notifier
	path     string
	lose     atomic.Bool // the next commit
}

// newWorld has certificates of the parties p1 to p9 that end after as many days.
func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{path: filepath.Join(t.TempDir(), "store"), mail: &recorder{}, hook: &recorder{repeats: true}}
	w.open(t)
	w.now = epoch
	for n := range 9 {
		w.issue(t, "p"+string(rune('1'+n)), w.now.Add(time.Duration(n+1)*day))
	}
	return w
}

func (w *world) open(t *testing.T) {
	t.Helper()
	var err error
	w.store, err = boltstore.Open(t.Context(), boltstore.Config{Path: w.path, Log: storetest.Log(t), NoSync: true, BeforeCommit: w.fault})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.store.Close() })
	w.notifier, err = notice.New(notice.Config{
		Store: w.store, Thresholds: []time.Duration{3 * day, day}, Now: func() time.Time { return w.now },
		Targets: map[string]notice.Target{"mail": w.mail, "webhook": w.hook},
	})
	if err != nil {
		t.Fatal(err)
	}
}

var errDisk = errors.New("the disk is full")

func (w *world) fault() error {
	if w.lose.Swap(false) {
		return errDisk
	}
	return nil
}

func (w *world) issue(t *testing.T, party string, until time.Time, dns ...string) ca.Serial {
	t.Helper()
	var serial ca.Serial
	rand.Read(serial[:])
	serial[0] = serial[0]&0x3f | 0x40 // positive, and of full length
	template := &x509.Certificate{SerialNumber: serial.Int(), NotBefore: epoch.Add(-day), NotAfter: until, DNSNames: dns, URIs: []*url.URL{{Scheme: "spiffe", Host: "merchant.pay.example", Path: "/" + party}}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	r := ca.Record{
		Serial: serial, Issuer: "merchant", Profile: "merchant", Party: party, Role: policy.Merchant, DER: der,
		SPKI: serial32(serial), NotBefore: template.NotBefore, NotAfter: until, Requester: "test", Protocol: "local",
	}
	in := ca.Intent{Serial: serial, Issuer: r.Issuer, Profile: r.Profile, Party: party, NotAfter: until, At: epoch}
	if err := w.store.Reserve(t.Context(), in); err != nil {
		t.Fatal(err)
	}
	if _, err := w.store.Issue(t.Context(), ca.Issuance{Record: r, Event: audit.Event{Time: epoch, Kind: audit.CertificateIssued}}); err != nil {
		t.Fatal(err)
	}
	return serial
}

// serial32 makes up the hash of a key.
func serial32(s ca.Serial) [32]byte { return sha256.Sum256(s[:]) }

var key, _ = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)

// round looks and sends, and returns whom the targets were told of, the first to end first.
func (w *world) round(t *testing.T) (mail, hook []string) {
	t.Helper()
	w.mail.got, w.hook.got = nil, nil
	for _, do := range []func(context.Context) error{w.notifier.Scan, w.notifier.Send} {
		if err := do(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	return parties(w.mail.got), parties(w.hook.got)
}

func parties(messages []ca.Message) []string {
	names := []string{}
	for _, m := range messages {
		for _, item := range m.Items {
			names = append(names, m.Topic[len("expires within "):]+" "+item.Party)
		}
	}
	slices.Sort(names)
	return names
}

func (w *world) want(t *testing.T, what string, mail, hook []string) {
	t.Helper()
	gotMail, gotHook := w.round(t)
	if !slices.Equal(gotMail, mail) || !slices.Equal(gotHook, hook) {
		t.Errorf("%s: told %v by mail and %v by webhook, want %v and %v", what, gotMail, gotHook, mail, hook)
	}
}

func TestACertificateIsToldOfOnceForEachThreshold(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	none := []string{}
	first := []string{"3d p1", "3d p2"} // p1 ends after exactly a day, p3 after three: that is not within
	w.want(t, "at first", first, first)
	w.want(t, "again", none, none)
	w.now = w.now.Add(time.Hour)
	w.want(t, "an hour later", []string{"1d p1", "3d p3"}, []string{"1d p1", "3d p3"})
	w.issue(t, "p4", w.now.Add(30*day)) // renewed
	w.issue(t, "", w.now.Add(2*day))    // of the CA itself
	w.now = w.now.Add(day)
	w.want(t, "a day later", []string{"1d p2"}, []string{"1d p2"})
	w.store.Close()
	w.open(t)
	w.want(t, "after a restart", none, none)
}
