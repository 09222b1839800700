package agent

import (
	"container/heap"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"
)

// A Job is work that must be done in the end: a call that is repeated until it is answered, or a clock that runs out.
type Job struct {
	Name string    `json:"name"` // of the function that does it, see [Agent.Handle]
	ID   string    `json:"id"`   // what it is about, usually a payment
	At   time.Time `json:"at"`   // not before
	// AtStart makes it due as soon as the agent starts, because what would have done it is gone.
	AtStart  bool `json:"at_start,omitempty"`
	Attempts int  `json:"attempts,omitempty"`
}

// jobKey begins with what a job is about: the jobs of payments that move at the same time are together.
func jobKey(name, id string) []byte { return []byte(id + "\x00" + name) }

// Schedule adds a job, in the place of one of the same name and id.
func (tx *Tx) Schedule(job Job) error {
	raw, err := json.Marshal(job)
	if err != nil {
		return err
	}
	tx.wake = append(tx.wake, func() { tx.agent.jobs.add(job) })
	key := jobKey(job.Name, job.ID)
	tx.agent.later.drop(bucketJobs, string(key)) // that was the one before
	return tx.bolt.Bucket(bucketJobs).Put(key, raw)
}

// Cancel removes a job; it is no error if there is none.
func (tx *Tx) Cancel(name, id string) error {
	return tx.bolt.Bucket(bucketJobs).Delete(jobKey(name, id))
}

// Done says that a job needs not be done any more. It is removed with the next commit, whatever that is for, or a moment
// later; should the process end before, the job is done again.
func (a *Agent) Done(name, id string) { a.later.add(bucketJobs, string(jobKey(name, id)), nil) }

// Scheduled reports whether there is such a job.
func (tx *Tx) Scheduled(name, id string) bool {
	return tx.bolt.Bucket(bucketJobs).Get(jobKey(name, id)) != nil
}

// Handle registers what does the jobs of a name. It is called again, ever more slowly, until it returns nil or has
// cancelled the job itself.
func (a *Agent) Handle(name string, do func(ctx context.Context, id string) error) {
	a.jobs.handlers[name] = do
}

// maxBackoff is between two attempts at a job.
const maxBackoff = 30 * time.Second

// workers is how many jobs are done at a time.
const workers = 8

// jobs does what is scheduled.
type jobs struct {
	agent    *Agent
	handlers map[string]func(ctx context.Context, id string) error // fixed before run

	mu    sync.Mutex
	queue queue // guarded by mu; may hold jobs that were cancelled or replaced
	more  chan struct{}
}

func newJobs(a *Agent) *jobs {
	return &jobs{agent: a, handlers: map[string]func(context.Context, string) error{}, more: make(chan struct{}, 1)}
}

func (j *jobs) add(job Job) {
	j.mu.Lock()
	heap.Push(&j.queue, job)
	j.mu.Unlock()
	select {
	case j.more <- struct{}{}:
	default:
	}
}

// run does jobs until ctx ends.
func (j *jobs) run(ctx context.Context) error {
	if err := j.load(); err != nil {
		return err
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	slots := make(chan struct{}, workers)
	for {
		job, wait := j.next()
		if job == nil {
			timer := time.NewTimer(wait)
			select {
			case <-ctx.Done():
				timer.Stop()
				return ctx.Err()
			case <-timer.C:
			case <-j.more:
				timer.Stop()
			}
			continue
		}
		select {
		case slots <- struct{}{}:
		case <-ctx.Done():
			return ctx.Err()
		}
		wg.Go(func() {
			defer func() { <-slots }()
			j.do(ctx, *job)
		})
	}
}

// load reads what the store has from before.
func (j *jobs) load() error {
	return j.agent.Read(func(tx *Tx) error {
		return tx.bolt.Bucket(bucketJobs).ForEach(func(_, raw []byte) error {
			var job Job
			if err := json.Unmarshal(raw, &job); err != nil {
				return err
			}
			if job.AtStart {
				job.At = time.Time{}
			}
			j.mu.Lock()
			heap.Push(&j.queue, job)
			j.mu.Unlock()
			return nil
		})
	})
}

// next takes the first job that is due, or says how long to wait.
func (j *jobs) next() (*Job, time.Duration) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if len(j.queue) == 0 {
		return nil, time.Hour
	}
	if wait := j.queue[0].At.Sub(j.agent.Now()); wait > 0 {
		return nil, min(wait, time.Second) // the clock may be another than the timer's
	}
	job := heap.Pop(&j.queue).(Job)
	return &job, 0
}

// do does a job unless it was cancelled or put off.
func (j *jobs) do(ctx context.Context, job Job) {
	if _, done := j.agent.later.get(bucketJobs, string(jobKey(job.Name, job.ID))); done {
		if err := j.agent.flush(ctx); err != nil && ctx.Err() == nil {
			j.again(ctx, job, err)
		}
		return
	}
	var stored Job
	err := j.agent.Read(func(tx *Tx) error {
		raw := tx.bolt.Bucket(bucketJobs).Get(jobKey(job.Name, job.ID))
		if raw == nil {
			return ErrNotFound
		}
		return json.Unmarshal(raw, &stored)
	})
	if err != nil || stored.At.After(j.agent.Now()) && !(job.At.IsZero() && stored.AtStart) {
		return // another entry of the queue stands for it, or none
	}
	handler := j.handlers[job.Name]
	if handler == nil {
		err = fmt.Errorf("no handler for jobs named %q", job.Name)
	} else {
		err = handler(ctx, job.ID)
	}
	if ctx.Err() != nil {
		return
	}
	if err == nil {
		err = j.agent.Write(ctx, func(tx *Tx) error {
			var now Job // a handler that scheduled it anew wants it kept
			if raw := tx.bolt.Bucket(bucketJobs).Get(jobKey(job.Name, job.ID)); raw == nil || json.Unmarshal(raw, &now) != nil || !now.At.Equal(stored.At) {
				return nil
			}
			return tx.Cancel(job.Name, job.ID)
		})
	}
	if err == nil {
		return
	}
	j.again(ctx, stored, err)
}

// again puts a job off that failed.
func (j *jobs) again(ctx context.Context, job Job, cause error) {
	job.Attempts++
	backoff := min(maxBackoff, 100*time.Millisecond<<min(job.Attempts, 10))
	job.At = j.agent.Now().Add(backoff)
	j.agent.cfg.Logger.LogAttrs(ctx, slog.LevelWarn, "job put off",
		slog.String("job", job.Name), slog.String("payment_id", job.ID), slog.Duration("duration", backoff), slog.Any("err", cause))
	err := j.agent.Write(ctx, func(tx *Tx) error {
		if !tx.Scheduled(job.Name, job.ID) {
			return nil
		}
		return tx.Schedule(job)
	})
	if err != nil && !errors.Is(err, context.Canceled) {
		j.add(job) // the store is ill; the job is still in it
	}
}

// A queue is a heap of jobs, the first due on top.
type queue []Job

// Len implements heap.Interface.
func (q queue) Len() int { return len(q) }

// Less implements heap.Interface.
func (q queue) Less(i, j int) bool { return q[i].At.Before(q[j].At) }

// Swap implements heap.Interface.
func (q queue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }

// Push implements heap.Interface.
func (q *queue) Push(x any) { *q = append(*q, x.(Job)) }

// Pop implements heap.Interface.
func (q *queue) Pop() any {
	last := (*q)[len(*q)-1]
	*q = (*q)[:len(*q)-1]
	return last
}
