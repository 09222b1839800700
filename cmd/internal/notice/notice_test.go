package notice_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"path/filepath"
	"slices"
	"sync"
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
}

func (r *recorder) Repeats() bool { return r.repeats }

func (r *recorder) Send(_ context.Context, m ca.Message) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.got = append(r.got, m)
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
	w.store, err = boltstore.Open(t.Context(), boltstore.Config{Path: w.path, Log: storetest.Log(t), NoSync: true})
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

func (w *world) issue(t *testing.T, party string, until time.Time) ca.Serial {
	t.Helper()
	var serial ca.Serial
	rand.Read(serial[:])
	serial[0] = serial[0]&0x3f | 0x40 // positive, and of full length
	template := &x509.Certificate{SerialNumber: serial.Int(), NotBefore: epoch.Add(-day), NotAfter: until}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	r := ca.Record{
		Serial: serial, Issuer: "merchant", Profile: "merchant", Party: party, Role: policy.Merchant, DER: der,
		NotBefore: template.NotBefore, NotAfter: until, Requester: "test", Protocol: "local",
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
	w.now = w.now.Add(day)
	w.want(t, "a day later", []string{"1d p2"}, []string{"1d p2"})
	w.store.Close()
	w.open(t)
	w.want(t, "after a restart", none, none)
}

func TestWhatIsDoneWhenSendingFails(t *testing.T) {
	t.Parallel()
	disk := errors.New("no route")
	for _, tt := range []struct {
		name       string
		err        error
		mail, hook int // times that each is sent within a day and an hour
		health     notice.Health
	}{
		{"it works", nil, 1, 1, notice.Health{Sent: 2}},
		{"it is refused", &notice.RefusedError{Err: disk}, 1, 1, notice.Health{Failed: 2}},
		{"nobody knows", &notice.DoubtError{Err: disk}, 1, 30, notice.Health{Doubtful: 1, Failed: 1}},
		{"it cannot be reached", disk, 30, 30, notice.Health{Failed: 2}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.mail.err, w.hook.err = tt.err, tt.err
			if err := w.notifier.Scan(t.Context()); err != nil {
				t.Fatal(err)
			}
			begin := w.now
			for w.now.Sub(begin) < day+2*time.Hour {
				if err := w.notifier.Send(t.Context()); err != nil {
					t.Fatal(err)
				}
				w.now = w.now.Add(30 * time.Second)
			}
			if len(w.mail.got) > tt.mail+2 || len(w.mail.got) < min(tt.mail, 25) || len(w.hook.got) > tt.hook+2 || len(w.hook.got) < min(tt.hook, 25) {
				t.Errorf("sent %d mails and %d posts, want about %d and %d", len(w.mail.got), len(w.hook.got), tt.mail, tt.hook)
			}
			h, err := w.notifier.Health(t.Context())
			if err != nil || h.Sent != tt.health.Sent || h.Failed != tt.health.Failed || h.Doubtful != tt.health.Doubtful || h.Waiting != 0 {
				t.Errorf("got %+v, %v, want %+v", h, err, tt.health)
			}
			if (h.LastError == "") != (tt.err == nil) {
				t.Errorf("last error %q", h.LastError)
			}
		})
	}
}

// crash is a target in whose hands the process ends.
type crash struct {
	recorder
	send func()
}

func (c *crash) Send(ctx context.Context, m ca.Message) error {
	_ = c.recorder.Send(ctx, m)
	c.send()
	return nil
}

// A crash between sending and noting it leaves a mail in doubt, and has a post made again under the same number.
func TestACrashWhileSending(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	type died struct{}
	targets := map[string]notice.Target{
		"mail": &crash{send: func() { panic(died{}) }}, "webhook": &crash{recorder: recorder{repeats: true}, send: func() { panic(died{}) }},
	}
	dying, err := notice.New(notice.Config{Store: w.store, Thresholds: []time.Duration{3 * day}, Targets: targets, Now: func() time.Time { return w.now }})
	if err != nil {
		t.Fatal(err)
	}
	if err := dying.Scan(t.Context()); err != nil {
		t.Fatal(err)
	}
	for range 2 { // one message each
		func() {
			defer func() {
				if r := recover(); r != (died{}) {
					t.Errorf("got %v, want the crash", r)
				}
			}()
			fresh, err := notice.New(notice.Config{Store: w.store, Thresholds: []time.Duration{3 * day}, Targets: targets, Now: func() time.Time { return w.now }})
			if err != nil {
				t.Fatal(err)
			}
			_ = fresh.Send(t.Context())
		}()
	}
	sent := targets["webhook"].(*crash).got[0]
	w.store.Close()
	w.open(t)
	if err := w.notifier.Recover(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.now = w.now.Add(5 * time.Minute)
	if err := w.notifier.Send(t.Context()); err != nil {
		t.Fatal(err)
	}
	if len(w.mail.got) != 0 || len(w.hook.got) != 1 || w.hook.got[0].ID != sent.ID {
		t.Errorf("after the crash: %d mails, posts %+v, want no mail and message %d again", len(w.mail.got), w.hook.got, sent.ID)
	}
	if h, err := w.notifier.Health(t.Context()); err != nil || h.Doubtful != 1 || h.Sent != 1 {
		t.Errorf("got %+v, %v, want one in doubt and one sent", h, err)
	}
}
