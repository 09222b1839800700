package notice_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/payca/payca/ca"
	"github.com/payca/payca/ca/audit"
	"github.com/payca/payca/cmd/internal/notice"
)

// send sends what is due and returns how many mails and posts that made.
func (w *world) send(t *testing.T) (mails, posts int) {
	t.Helper()
	w.mail.got, w.hook.got = nil, nil
	if err := w.notifier.Send(t.Context()); err != nil {
		t.Fatal(err)
	}
	return len(w.mail.got), len(w.hook.got)
}

func (w *world) scan(t *testing.T) {
	t.Helper()
	if err := w.notifier.Scan(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func (w *world) health(t *testing.T) notice.Health {
	t.Helper()
	h, err := w.notifier.Health(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func (w *world) revoke(t *testing.T, serial ca.Serial) {
	t.Helper()
	rev := ca.Revocation{Serial: serial, Issuer: "merchant", NotAfter: epoch.Add(9 * day), At: epoch, Reason: ca.Superseded}
	if err := w.store.Revoke(t.Context(), rev, audit.Event{Time: epoch, Kind: audit.CertificateRevoked}); err != nil {
		t.Fatal(err)
	}
}

func TestWhatIsDoneWhenSendingFails(t *testing.T) {
	t.Parallel()
	cause := errors.New("no route")
	const often = 53 // after 1, 3, 7, 15, 31, 63 and 123 minutes, then every hour for two days
	for _, tt := range []struct {
		name       string
		err        error
		mail, hook int
		health     notice.Health
		lost       string // state of the last message that was lost
	}{
		{"it works", nil, 1, 1, notice.Health{Sent: 2}, ""},
		{"some do not get it", &notice.PartError{Err: cause}, 1, 1, notice.Health{Sent: 2}, ""},
		{"it is refused", &notice.RefusedError{Err: cause}, 1, 1, notice.Health{Failed: 2}, "failed"},
		{"nobody knows", &notice.DoubtError{Err: cause}, 1, often, notice.Health{Doubtful: 1, Failed: 1}, "failed"},
		{"it cannot be reached", cause, often, often, notice.Health{Failed: 2}, "failed"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.mail.err, w.hook.err = tt.err, tt.err
			w.scan(t) // p1 and p2 end within two days
			var mails, posts int
			for w.now = epoch; w.now.Before(epoch.Add(3 * day)); w.now = w.now.Add(time.Minute) {
				m, p := w.send(t)
				mails, posts = mails+m, posts+p
			}
			if mails < tt.mail-2 || mails > tt.mail || posts < tt.hook-2 || posts > tt.hook {
				t.Errorf("sent %d mails and %d posts, want about %d and %d", mails, posts, tt.mail, tt.hook)
			}
			h := w.health(t)
			if h.Sent != tt.health.Sent || h.Failed != tt.health.Failed || h.Doubtful != tt.health.Doubtful || h.Waiting != 0 || h.Stuck != nil {
				t.Errorf("got %+v, want %+v", h, tt.health)
			}
			if (h.Last == nil) != (tt.lost == "") || h.Last != nil && (h.Last.State != tt.lost || h.Last.Error == "") {
				t.Errorf("last lost %+v, want %q", h.Last, tt.lost)
			}
		})
	}
}

func TestAStuckTargetIsSeenAndHoldsUpNoOther(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.mail.err = errors.New("no route")
	told := make(chan struct{}, 1)
	w.hook.during = func() { told <- struct{}{} }
	w.mail.during = func() { // the mail waits for the post, which so cannot wait for the mail
		select {
		case <-told:
		case <-time.After(10 * time.Second):
			t.Error("the webhook waits for the mail")
		}
	}
	w.scan(t)
	if mails, posts := w.send(t); mails != 1 || posts != 1 {
		t.Errorf("%d mails and %d posts, want one each", mails, posts)
	}
	w.mail.during, w.hook.during = nil, nil
	w.now = w.now.Add(time.Hour)
	w.scan(t) // p3 is within three days now, p1 within one
	if mails, _ := w.send(t); mails != 1 {
		t.Errorf("%d mails to a server that is down, want one attempt", mails)
	}
	h := w.health(t)
	if len(h.Stuck) != 1 || h.Stuck[0].Target != "mail" || h.Stuck[0].Error != "no route" || !h.Stuck[0].Since.Equal(epoch) || h.Stuck[0].Messages != 2 {
		t.Errorf("got %+v, want mail stuck since %v", h, epoch)
	}
	w.mail.err = nil
	w.now = w.now.Add(time.Hour)
	if mails, _ := w.send(t); mails != 3 || w.health(t).Stuck != nil {
		t.Errorf("%d mails when it is back, %+v, want three and none stuck", mails, w.health(t))
	}
}

func TestATargetThatTheConfigurationHasNoMoreIsSeen(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.scan(t)
	w.only(t, "webhook", w.hook)
	w.send(t)
	if h := w.health(t); len(h.Stuck) != 1 || h.Stuck[0].Target != "mail" || h.Sent != 1 {
		t.Errorf("got %+v, want mail stuck and a post sent", h)
	}
	w.now = epoch.Add(3 * day)
	w.send(t)
	if h := w.health(t); h.Stuck != nil || h.Failed != 1 {
		t.Errorf("after the certificates have ended: got %+v, want one failed", h)
	}
}

func TestOnlyACertificateWithTheSameNamesIsASuccessor(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.now = epoch.Add(20 * day) // the others have ended
	w.issue(t, "shop", w.now.Add(2*day), "a.example", "www.a.example")
	w.issue(t, "shop", w.now.Add(30*day), "b.example")
	shop := []string{"3d shop"}
	w.want(t, "another server of the party", shop, shop)
	w.issue(t, "bank", w.now.Add(2*day), "c.example")
	w.issue(t, "bank", w.now.Add(30*day), "new.example", "c.example")
	w.want(t, "a successor with one more name", []string{}, []string{})
	w.issue(t, "gate", w.now.Add(2*day), "d.example")
	w.revoke(t, w.issue(t, "gate", w.now.Add(30*day), "d.example"))
	gate := []string{"3d gate"}
	w.want(t, "a revoked successor", gate, gate)
}

func TestWhatIsRenewedOrRevokedWhileItWaitsIsNotTold(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.now = epoch.Add(20 * day)
	revoked := w.issue(t, "revoked", w.now.Add(2*day))
	w.issue(t, "renewed", w.now.Add(2*day))
	w.issue(t, "kept", w.now.Add(2*day))
	w.mail.err, w.hook.err = errors.New("no route"), &notice.DoubtError{Err: errors.New("no answer")}
	w.round(t)
	w.issue(t, "renewed", w.now.Add(30*day))
	w.revoke(t, revoked)
	w.mail.err, w.hook.err = nil, nil
	w.now = w.now.Add(time.Hour)
	w.send(t)
	if got := parties(w.mail.got); !slices.Equal(got, []string{"3d kept"}) {
		t.Errorf("mailed of %v, want what is kept alone", got)
	}
	if got := parties(w.hook.got); len(got) != 3 {
		t.Errorf("posted of %v, want all three: the receiver may know the message", got)
	}
}

func TestAMessageThatNobodyNeedsIsNotSent(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.scan(t)
	w.issue(t, "p1", epoch.Add(30*day))
	w.issue(t, "p2", epoch.Add(30*day))
	if mails, posts := w.send(t); mails+posts != 0 {
		t.Errorf("%d mails and %d posts, want none", mails, posts)
	}
	if h := w.health(t); h.Needless != 2 || h.Waiting != 0 {
		t.Errorf("got %+v, want two needless", h)
	}
}

// The store fails when the answer to a message is to be kept: nobody can know later what the answer was.
func TestTheStoreFailsAfterSending(t *testing.T) {
	t.Parallel()
	for name, again := range map[string]int{"mail": 0, "webhook": 1} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			target := map[string]*recorder{"mail": w.mail, "webhook": w.hook}[name]
			w.only(t, name, target)
			w.scan(t)
			target.during = func() { w.lose.Store(true) }
			if err := w.notifier.Send(t.Context()); !errors.Is(err, errDisk) || len(target.got) != 1 {
				t.Fatalf("got %v after %d messages, want %v after one", err, len(target.got), errDisk)
			}
			target.during = nil
			first := target.got[0]
			w.send(t) // finds the orphan
			w.now = w.now.Add(2 * time.Minute)
			w.send(t)
			if len(target.got) != again || again > 0 && (target.got[0].ID != first.ID || !slices.Equal(target.got[0].Items, first.Items)) {
				t.Errorf("sent %+v again, want %d of %+v", target.got, again, first)
			}
			if h := w.health(t); h.Sent != again || h.Doubtful != 1-again {
				t.Errorf("got %+v, want %d sent and the rest in doubt", h, again)
			}
		})
	}
}

// only makes the notifier one of one target.
func (w *world) only(t *testing.T, name string, target notice.Target) {
	t.Helper()
	var err error
	w.notifier, err = notice.New(notice.Config{
		Store: w.store, Thresholds: []time.Duration{3 * day}, Now: func() time.Time { return w.now }, Targets: map[string]notice.Target{name: target},
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestAnAttemptMayEndWhenTheServerDoes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.only(t, "webhook", w.hook)
	ctx, cancel := context.WithCancel(t.Context())
	w.hook.during = cancel
	w.scan(t)
	if err := w.notifier.Send(ctx); err != nil {
		t.Fatal(err)
	}
	if h := w.health(t); h.Sent != 1 {
		t.Errorf("got %+v, want the post sent", h)
	}
}
