package notice_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/payca/payca/ca"
	"github.com/payca/payca/ca/audit"
	"github.com/payca/payca/cmd/internal/notice"
)

func (w *world) file(t *testing.T, id string, until time.Time) {
	t.Helper()
	_, err := w.store.AddRequest(t.Context(), ca.ApprovalRequest{
		ID: id, Kind: ca.AskEnroll, Party: "gw1", Body: []byte("{}"), Created: w.now, NotAfter: until, State: ca.RequestPending,
	}, audit.Event{Time: w.now, Kind: audit.RequestFiled})
	if err != nil {
		t.Fatal(err)
	}
}

func (w *world) reject(t *testing.T, id string) {
	t.Helper()
	if err := w.store.ChangeRequest(t.Context(), id, func(r *ca.ApprovalRequest) ([]audit.Event, error) {
		r.State = ca.RequestRejected
		return nil, nil
	}); err != nil {
		t.Fatal(err)
	}
}

// asked is the requests that a target was told of since the last call.
func (r *recorder) asked() (ids []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, m := range r.got {
		for _, item := range m.Items {
			if item.Request != "" {
				ids = append(ids, item.Asks+" "+item.Party+" "+item.Request)
			}
		}
	}
	r.got = nil
	return ids
}

func TestApproversAreToldOfEachRequestOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	send := func(what string, want ...string) {
		t.Helper()
		if err := w.notifier.Send(t.Context()); err != nil {
			t.Fatal(err)
		}
		for i, target := range []*recorder{w.mail, w.hook} {
			if got := target.asked(); !slices.Equal(got, want) {
				t.Errorf("%s, target %d: got %q, want %q", what, i, got, want)
			}
		}
	}
	send("no request")
	w.file(t, "r1", w.now.Add(day))
	w.file(t, "r2", w.now) // is over
	send("one request", "enroll gw1 r1")
	send("again")
	w.mail.err, w.hook.err = errDisk, errDisk
	w.file(t, "r3", w.now.Add(day))
	w.file(t, "r4", w.now.Add(day))
	if err := w.notifier.Send(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.mail.err, w.hook.err, w.mail.got, w.hook.got = nil, nil, nil, nil
	w.reject(t, "r3") // before it could be told of
	w.now = w.now.Add(time.Hour)
	send("after targets were down", "enroll gw1 r4")
	if err := w.store.Close(); err != nil {
		t.Fatal(err)
	}
	w.open(t)
	send("after a restart")
}

func TestTheMailAboutARequestSaysWhatToDo(t *testing.T) {
	t.Parallel()
	text := string(notice.Text(notice.Mail{Network: "pay.example", From: "pki@pay.example", To: []string{"ops@pay.example"}}, ca.Message{
		ID: 1, Created: epoch, Items: []ca.MessageItem{{Party: "gw1", Asks: ca.AskEnroll, Request: strings.Repeat("ab", 32), NotAfter: epoch.Add(day)}},
	}))
	for _, want := range []string{
		"Subject: pay.example: request abababababababab waits for approval\r\n", "waits for approvers until 2030-03-05 05:06:", "enroll  gw1\r\n", strings.Repeat("ab", 32), "payca request approve",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("got %q, want %q in it", text, want)
		}
	}
}
