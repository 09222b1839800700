package storetest

import (
	"maps"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/payca/payca/ca"
)

var outbox = []sentence{
	{"a certificate is told of once to each target under each topic", testToldOnce},
	{"one of many equal messages is kept", func(t *testing.T, w *world) {
		var kept atomic.Int32
		must(t, together(32, func(int) error {
			added, err := w.AddMessage(t.Context(), w.message("mail", "7d", 1, 2))
			if added.ID != 0 {
				kept.Add(1)
			}
			return err
		}))
		if kept.Load() != 1 || len(all(t, w.Messages(t.Context(), ""))) != 1 {
			t.Errorf("kept %d, want 1", kept.Load())
		}
	}},
	{"a message is replaced by its number", func(t *testing.T, w *world) {
		m, err := w.AddMessage(t.Context(), w.message("mail", "7d", 1))
		must(t, err)
		m.State, m.Error, m.Attempts = ca.MessageFailed, "refused", 3
		must(t, w.SetMessage(t.Context(), m))
		if got := all(t, w.Messages(t.Context(), "")); len(got) != 1 || got[0].Error != "refused" || got[0].Attempts != 3 || !got[0].Settled() {
			t.Errorf("got %+v, want %+v", got, m)
		}
		m.ID++
		wantError(t, w.SetMessage(t.Context(), m), ca.ErrNotFound)
	}},
	{"messages are found and counted by their state", testMessageStates},
	{"what is settled is forgotten in time, what was told of until the certificate has ended", testForget},
}

// message tells of certificates with small serials; number n ends n hours after the epoch.
func (w *world) message(target, topic string, serials ...byte) ca.Message {
	m := ca.Message{Target: target, Topic: topic, Created: epoch, State: ca.MessageWaiting, Next: epoch, Changed: epoch}
	for _, n := range serials {
		item := ca.MessageItem{Party: "acme", NotAfter: epoch.Add(time.Duration(n) * time.Hour)}
		item.Serial[len(item.Serial)-1] = n
		m.Items = append(m.Items, item)
	}
	return m
}

func testToldOnce(t *testing.T, w *world) {
	var ids []uint64
	for _, step := range []struct {
		message ca.Message
		want    []byte // serials that are new
	}{
		{w.message("mail", "7d", 1, 2, 2), []byte{1, 2}},
		{w.message("mail", "7d", 2, 3), []byte{3}},
		{w.message("mail", "7d", 1, 2, 3), nil},
		{w.message("mail", "1d", 1), []byte{1}},
		{w.message("webhook", "7d", 1), []byte{1}},
		{w.message("mail", "7d"), nil},
	} {
		added, err := w.AddMessage(t.Context(), step.message)
		must(t, err)
		var got []byte
		for _, item := range added.Items {
			got = append(got, item.Serial[len(item.Serial)-1])
		}
		if !slices.Equal(got, step.want) || (added.ID == 0) != (step.want == nil) {
			t.Errorf("%s %s: message %d tells of %v, want %v", step.message.Target, step.message.Topic, added.ID, got, step.want)
		}
		if added.ID != 0 {
			ids = append(ids, added.ID)
		}
	}
	var kept []uint64
	for _, m := range all(t, w.Messages(t.Context(), "")) {
		kept = append(kept, m.ID)
	}
	if !slices.Equal(kept, ids) || !slices.IsSorted(kept) {
		t.Errorf("kept %v, want %v", kept, ids)
	}
}

func testForget(t *testing.T, w *world) {
	settled, err := w.AddMessage(t.Context(), w.message("mail", "7d", 1))
	must(t, err)
	_, err = w.AddMessage(t.Context(), w.message("mail", "7d", 9))
	must(t, err)
	settled.State = ca.MessageSent
	must(t, w.SetMessage(t.Context(), settled))
	for _, step := range []struct {
		before time.Duration
		limit  int
		want   int
	}{{0, 10, 0}, {time.Minute, 10, 1}, {time.Hour, 10, 0}, {2 * time.Hour, 0, 0}, {2 * time.Hour, 10, 1}, {2 * time.Hour, 10, 0}} {
		if n, err := w.ForgetMessages(t.Context(), epoch.Add(step.before), step.limit); err != nil || n != step.want {
			t.Errorf("before %v: forgot %d, %v, want %d", step.before, n, err, step.want)
		}
	}
	if left := all(t, w.Messages(t.Context(), "")); len(left) != 1 {
		t.Errorf("%d messages are left, want the one that waits", len(left))
	}
	for serial, again := range map[byte]bool{1: true, 9: false} { // 1 has ended long ago
		if added, err := w.AddMessage(t.Context(), w.message("mail", "7d", serial)); err != nil || (added.ID != 0) != again {
			t.Errorf("%d: message %d, %v, want one %v", serial, added.ID, err, again)
		}
	}
}

func testMessageStates(t *testing.T, w *world) {
	var kept []ca.Message
	for n := range byte(6) {
		m, err := w.AddMessage(t.Context(), w.message("mail", "7d", n+1))
		must(t, err)
		kept = append(kept, m)
	}
	for i, state := range []string{ca.MessageSent, ca.MessageSending, ca.MessageSent, ca.MessageNeedless, ca.MessageWaiting} {
		kept[i].State = state
		must(t, w.SetMessage(t.Context(), kept[i]))
	}
	kept[1].State, kept[1].Doubt = ca.MessageWaiting, true // and once more
	must(t, w.SetMessage(t.Context(), kept[1]))
	counts, err := w.CountMessages(t.Context())
	must(t, err)
	want := map[string]int{ca.MessageWaiting: 3, ca.MessageSent: 2, ca.MessageNeedless: 1}
	if !maps.Equal(counts, want) {
		t.Errorf("got %v, want %v", counts, want)
	}
	for state, wantIDs := range map[string][]uint64{
		ca.MessageWaiting:  {kept[1].ID, kept[4].ID, kept[5].ID},
		ca.MessageSent:     {kept[0].ID, kept[2].ID},
		ca.MessageNeedless: {kept[3].ID},
		ca.MessageSending:  nil, ca.MessageFailed: nil, "wait": nil,
	} {
		var got []uint64
		for _, m := range all(t, w.Messages(t.Context(), state)) {
			got = append(got, m.ID)
			if m.State != state || m.Doubt != (m.ID == kept[1].ID) {
				t.Errorf("%s: got %+v", state, m)
			}
		}
		if !slices.Equal(got, wantIDs) {
			t.Errorf("%s: got %v, want %v", state, got, wantIDs)
		}
	}
}
