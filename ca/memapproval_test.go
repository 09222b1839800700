package ca_test

import (
	"context"
	"encoding/json"
	"iter"
	"slices"

	"github.com/payca/payca/ca"
	"github.com/payca/payca/ca/audit"
)

// asked is the approval requests and pins of a memStore.
type asked struct {
	requests []ca.ApprovalRequest
	pins     map[string]ca.Pin
}

func (m *memStore) request(id string) int {
	return slices.IndexFunc(m.requests, func(r ca.ApprovalRequest) bool { return r.ID == id })
}

// copyOf keeps a test from changing what is stored.
func copyOf(r ca.ApprovalRequest) (out ca.ApprovalRequest) {
	raw, err := json.Marshal(r)
	if err != nil {
		panic(err)
	}
	if err := json.Unmarshal(raw, &out); err != nil {
		panic(err)
	}
	return out
}

func (m *memStore) AddRequest(_ context.Context, r ca.ApprovalRequest, e audit.Event) (ca.ApprovalRequest, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.request(r.ID) >= 0 {
		return ca.ApprovalRequest{}, ca.ErrExists
	}
	if r.Token != "" {
		t, ok := m.tokens[r.Token]
		if !ok {
			return ca.ApprovalRequest{}, ca.ErrNotFound
		}
		if err := t.Spent(); err != nil {
			return ca.ApprovalRequest{}, err
		}
		t.Used = &ca.TokenUse{Party: r.Party, From: r.From, At: r.Created, Request: r.ID}
		m.tokens[r.Token] = t
	}
	r.Number = uint64(len(m.requests)) + 1
	m.requests = append(m.requests, copyOf(r))
	m.log(e)
	return copyOf(r), nil
}

func (m *memStore) ApprovalRequest(_ context.Context, id string) (ca.ApprovalRequest, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if i := m.request(id); i >= 0 {
		return copyOf(m.requests[i]), nil
	}
	return ca.ApprovalRequest{}, ca.ErrNotFound
}

func (m *memStore) ApprovalRequests(_ context.Context, f ca.RequestFilter) iter.Seq2[ca.ApprovalRequest, error] {
	m.mu.Lock()
	defer m.mu.Unlock()
	all := slices.Clone(m.requests)
	return func(yield func(ca.ApprovalRequest, error) bool) {
		for _, r := range all {
			if r.Number > f.After && (f.State == "" || r.State == f.State) && !yield(copyOf(r), nil) {
				return
			}
		}
	}
}

func (m *memStore) ChangeRequest(_ context.Context, id string, change func(r *ca.ApprovalRequest) ([]audit.Event, error)) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	i := m.request(id)
	if i < 0 {
		return ca.ErrNotFound
	}
	if state := m.requests[i].State; state != ca.RequestPending {
		return &ca.RequestSettledError{ID: id, State: state}
	}
	r := copyOf(m.requests[i])
	events, err := change(&r)
	if err != nil {
		return err
	}
	m.requests[i] = r
	for _, e := range events {
		m.log(e)
	}
	return nil
}

func (m *memStore) Pin(_ context.Context, kind string) (ca.Pin, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if pin, ok := m.pins[kind]; ok {
		return pin, nil
	}
	return ca.Pin{}, ca.ErrNotFound
}

func (m *memStore) SetPin(_ context.Context, pin ca.Pin, e audit.Event) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.pins[pin.Kind] = pin
	m.log(e)
	return nil
}

// settle is what an issuance does to the request that it fulfils.
func (m *memStore) settle(is ca.Issuance) error {
	if is.Request == "" {
		return nil
	}
	i := m.request(is.Request)
	if i < 0 {
		return ca.ErrNotFound
	}
	if state := m.requests[i].State; state != ca.RequestPending {
		return &ca.RequestSettledError{ID: is.Request, State: state}
	}
	serial := is.Record.Serial
	m.requests[i].State, m.requests[i].Settled, m.requests[i].Serial = ca.RequestDone, is.Event.Time, &serial
	return nil
}
