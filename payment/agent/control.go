package agent

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/payca/payca/enroll/problem"
	"github.com/payca/payca/enroll/strictjson"
	"github.com/payca/payca/payment"
	"github.com/payca/payca/policy"
)

// controlFile is the socket by which the agent's own operator works with it: who may open the directory may use it.
const controlFile = "control.sock"

// Control adds an operation of the agent's own operator, POST path with JSON; in is what is decoded into.
func Control[In any](a *Agent, path string, do func(ctx context.Context, in In) (any, error)) {
	writer := problem.Writer{Mappers: []problem.Mapper{mapError}, Logger: a.cfg.Logger}
	a.control.Handle("POST "+path, problem.Handler(writer, func(w http.ResponseWriter, r *http.Request) error {
		body, err := problem.Body(r, maxBody)
		if err != nil {
			return err
		}
		var in In
		if err := decodeStrict(body, &in); err != nil {
			return err
		}
		reply, err := do(r.Context(), in)
		if err != nil {
			return err
		}
		return writeJSON(w, reply)
	}))
}

// ControlHandler returns the operator's operations, for a program that holds the agent itself.
func (a *Agent) ControlHandler() http.Handler { return a.control }

// DialControl returns a client for the operator's operations of the agent that runs in dir; URLs are
// http://agent/PATH. An error that wraps fs.ErrNotExist says that none runs there.
func DialControl(dir string) (*http.Client, error) {
	path := filepath.Join(dir, controlFile)
	conn, err := net.DialTimeout("unix", path, time.Second)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("no agent runs in %s: %w", dir, fs.ErrNotExist), err)
	}
	_ = conn.Close() // it was only to see
	return &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", path)
	}}}, nil
}

// maxSocket is how long the path of a Unix socket may be (unix(7)).
const maxSocket = 107

// listenControl is nil where the path of the agent's directory is too long for a socket.
func (a *Agent) listenControl(ctx context.Context) (net.Listener, error) {
	path := filepath.Join(a.cfg.Dir, controlFile)
	if len(path) > maxSocket {
		a.cfg.Logger.LogAttrs(ctx, slog.LevelWarn, "no control socket: the path of the directory is too long", slog.Int("size", len(path)))
		return nil, nil
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err // the lock on the store says that no other agent has it
	}
	l, err := new(net.ListenConfig).Listen(ctx, "unix", path)
	if err != nil {
		return nil, err
	}
	return l, os.Chmod(path, 0o600)
}

// A TraceEntry is one object of a payment, as the trace shows it: who to whom, but not what.
type TraceEntry struct {
	Agent     string       `json:"agent"` // whose record this is
	Time      time.Time    `json:"time"`
	Kind      payment.Kind `json:"kind"`
	Direction string       `json:"direction"`
	From      string       `json:"from,omitempty"`
	To        string       `json:"to,omitempty"`
	Signer    string       `json:"signer,omitempty"`
	SealedTo  string       `json:"sealed_to,omitzero"`
	Serial    string       `json:"serial,omitempty"`
	Status    string       `json:"status,omitempty"`
	Digest    string       `json:"digest"`
}

// TraceOf makes entries of records, without the objects.
func TraceOf(agent string, records []Record) []TraceEntry {
	entries := make([]TraceEntry, len(records))
	for i, r := range records {
		e := TraceEntry{
			Agent: agent, Time: r.Time, Kind: r.Kind, Direction: r.Direction, Signer: r.Signer, SealedTo: r.SealedTo,
			Serial: r.Serial, Status: r.Status, Digest: r.Digest,
		}
		if e.From, e.To = agent, r.Peer; r.Direction == Received {
			e.From, e.To = r.Peer, agent
		}
		entries[i] = e
	}
	return entries
}

// common adds what every agent has.
func (a *Agent) common() {
	a.Get("/trace/{id}", a.trace)
	a.Get("/healthz", func(context.Context, *Call) (any, error) {
		return map[string]string{"agent": a.uri, "status": "ok"}, nil
	})
	Control(a, "/trace", func(_ context.Context, in struct {
		ID string `json:"id"`
	},
	) (any, error) {
		records, err := a.recordsOf(in.ID)
		return TraceOf(a.uri, records), err
	})
}

func (a *Agent) recordsOf(id string) (records []Record, err error) {
	if !payment.IsID(id) {
		return nil, payment.Refuse(payment.NotFound, "payment", "\""+clip(id)+"\"", "the id of a payment")
	}
	err = a.Read(func(tx *Tx) error {
		records, err = tx.Records(id)
		return err
	})
	if err == nil && len(records) == 0 {
		err = ErrNotFound
	}
	return records, err
}

// trace: GET /trace/{id}, for the parties of the payment and auditors. To others it does not exist.
func (a *Agent) trace(_ context.Context, c *Call) (any, error) {
	records, err := a.recordsOf(c.Request.PathValue("id"))
	if err != nil {
		return nil, err
	}
	takesPart := slices.ContainsFunc(records, func(r Record) bool { return r.Signer == c.URI || r.Peer == c.URI })
	if c.Peer.Role != policy.Auditor && !takesPart {
		return nil, ErrNotFound
	}
	return TraceOf(a.uri, records), nil
}

func decodeStrict(body []byte, v any) error {
	if err := strictjson.Unmarshal(body, v); err != nil {
		return payment.BadJSONError("body", err)
	}
	return nil
}

// CallControl does one operation of the operator's through a client from [DialControl].
func CallControl(ctx context.Context, client *http.Client, path string, in, out any) error {
	if in == nil {
		in = struct{}{}
	}
	return problem.Call(ctx, client, http.MethodPost, "http://agent"+path, in, out)
}

// LocalClient returns a client that calls a handler without a network.
func LocalClient(handler http.Handler) *http.Client { return &http.Client{Transport: local{handler}} }

type local struct{ handler http.Handler }

// RoundTrip implements http.RoundTripper.
func (l local) RoundTrip(r *http.Request) (*http.Response, error) {
	w := &answer{header: http.Header{}, status: http.StatusOK}
	l.handler.ServeHTTP(w, r)
	return w.response(r), nil
}

// An answer is what a handler wrote.
type answer struct {
	header http.Header
	status int
	wrote  bool
	body   bytes.Buffer
}

// Header implements http.ResponseWriter.
func (w *answer) Header() http.Header { return w.header }

// WriteHeader implements http.ResponseWriter.
func (w *answer) WriteHeader(status int) {
	if !w.wrote {
		w.status, w.wrote = status, true
	}
}

// Write implements http.ResponseWriter.
func (w *answer) Write(p []byte) (int, error) {
	w.wrote = true
	return w.body.Write(p)
}

func (w *answer) response(r *http.Request) *http.Response {
	return &http.Response{
		Status: http.StatusText(w.status), StatusCode: w.status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: w.header, Body: io.NopCloser(&w.body), ContentLength: int64(w.body.Len()), Request: r,
	}
}
