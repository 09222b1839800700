package agent_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/payca/payca/payment/agent"
	"github.com/payca/payca/payment/paytest"
	"github.com/payca/payca/policy"
)

// worker is a party whose only work are jobs named probe.
type worker struct {
	*paytest.Node
	ran atomic.Int64
}

func newWorker(t *testing.T, w *paytest.World) *worker {
	k := &worker{}
	k.Node = w.Add(t, "worker", policy.Consumer, func(a *agent.Agent) error {
		a.Handle("probe", func(context.Context, string) error { k.ran.Add(1); return nil })
		return nil
	})
	k.Start(t)
	return k
}

func (k *worker) schedule(t *testing.T, at time.Time) {
	t.Helper()
	err := k.Agent.Write(t.Context(), func(tx *agent.Tx) error {
		return tx.Schedule(agent.Job{Name: "probe", ID: "1", At: at, AtStart: true})
	})
	if err != nil {
		t.Fatal(err)
	}
}

func (k *worker) scheduled(t *testing.T) (is bool) {
	t.Helper()
	if err := k.Agent.Read(func(tx *agent.Tx) error { is = tx.Scheduled("probe", "1"); return nil }); err != nil {
		t.Fatal(err)
	}
	return is
}

// until waits for a condition.
func until(t *testing.T, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within 20 s", what)
		}
	}
}

func TestAJobThatIsDone(t *testing.T) {
	t.Parallel()
	k := newWorker(t, paytest.New(t, paytest.Options{Status: paytest.Good, NoSync: true}))
	later := time.Now().Add(time.Hour)

	k.schedule(t, later)
	k.Agent.Done("probe", "1")
	if !k.scheduled(t) {
		t.Error("it was removed before the next commit")
	}
	if err := k.Agent.Write(t.Context(), func(tx *agent.Tx) error { return tx.Put("anything", 1) }); err != nil {
		t.Fatal(err)
	}
	if k.scheduled(t) {
		t.Error("it is still there after the next commit")
	}

	k.schedule(t, later)
	k.Agent.Done("probe", "1")
	k.schedule(t, later)
	k.schedule(t, later)
	if !k.scheduled(t) {
		t.Error("one that is scheduled anew was removed with the one before")
	}

	k.schedule(t, time.Now().Add(50*time.Millisecond))
	k.Agent.Done("probe", "1")
	until(t, "it goes when it is due", func() bool { return !k.scheduled(t) })

	k.schedule(t, later)
	k.Agent.Done("probe", "1")
	k.Stop(t)
	k.Start(t)
	if k.scheduled(t) {
		t.Error("it outlived an orderly stop")
	}
	if n := k.ran.Load(); n != 0 {
		t.Errorf("it ran %d times, want never", n)
	}

	k.schedule(t, time.Now())
	until(t, "one that is not done runs", func() bool { return k.ran.Load() == 1 && !k.scheduled(t) })
}
