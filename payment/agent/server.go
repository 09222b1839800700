package agent

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/payca/payca/ca/audit"
	"github.com/payca/payca/enroll/mtls"
	"github.com/payca/payca/enroll/problem"
	"github.com/payca/payca/payment"
	"github.com/payca/payca/policy"
)

// maxBody is how many bytes a request may have: several objects.
const maxBody = 256 << 10

// A route is one endpoint: a pattern of http.ServeMux, and what it does.
type route struct {
	pattern string
	handle  func(w http.ResponseWriter, r *http.Request, c *Call) error
}

// A Call is a request from another party.
type Call struct {
	Peer    policy.Identity // who calls
	URI     string          // its identity
	Key     string          // idempotency key, of a POST
	Request *http.Request
	agent   *Agent
	body    []byte
	digest  string // of caller, path and body
	reply   []byte // what was kept of it, once it is finished
	Exchange
}

// PathID returns the payment id in the path; *payment.Refusal with payment.NotFound if it is none.
func (c *Call) PathID() (string, error) {
	id := c.Request.PathValue("id")
	if !payment.IsID(id) {
		return "", payment.Refuse(payment.NotFound, "payment", strconv.Quote(clip(id)), "the id of a payment")
	}
	return id, nil
}

// maxWait is how long a request may wait for something to change.
const maxWait = 30 * time.Second

// Wait returns how long the caller is ready to wait for a change: the query parameter wait, in seconds.
func (c *Call) Wait() time.Duration {
	seconds, err := strconv.Atoi(c.Request.URL.Query().Get("wait"))
	if err != nil || seconds <= 0 {
		return 0
	}
	return min(time.Duration(seconds)*time.Second, maxWait)
}

// Message reads the body as objects by kind.
func (c *Call) Message() (Message, error) { return readMessage(c.body) }

// Decode reads the body strictly into v.
func (c *Call) Decode(v any) error { return decodeStrict(c.body, v) }

// Operation checks that the idempotency key is that of the operation which the body asks for.
func (c *Call) Operation(id, operation string, number int64) error {
	if want := Key(id, operation, number); c.Key != want {
		return payment.Refuse(payment.Conflict, idempotencyHeader, strconv.Quote(clip(c.Key)), want+", as the body says")
	}
	return nil
}

// Key returns the key of an operation: the payment, what is done, and the how manyth of its kind it is.
func Key(id, operation string, number int64) string {
	return id + "/" + operation + "/" + strconv.FormatInt(number, 10)
}

// operation is what is kept of an operation that was begun or done: its parts with a zero octet between them.
type operation struct {
	peer, digest string
	reply        []byte // JSON; empty while it is not done
}

func (o operation) encode() []byte {
	raw := make([]byte, 0, len(o.peer)+len(o.digest)+len(o.reply)+2)
	raw = append(append(raw, o.peer...), 0)
	raw = append(append(raw, o.digest...), 0)
	return append(raw, o.reply...)
}

// operationKey is where the operation of an idempotency key is kept: with the payment that it begins with.
func operationKey(key string) []byte {
	id, rest, _ := strings.Cut(key, "/")
	if !payment.IsID(id) {
		return append([]byte{tagOther}, key...)
	}
	return append(append(append(make([]byte, 0, len(key)), id...), tagOperation), rest...)
}

func readOperation(raw []byte) (operation, error) {
	peer, rest, found := bytes.Cut(raw, []byte{0})
	digest, reply, also := bytes.Cut(rest, []byte{0})
	if !found || !also {
		return operation{}, fmt.Errorf("stored operation of %d octets, want peer, digest and reply", len(raw))
	}
	return operation{string(peer), string(digest), bytes.Clone(reply)}, nil
}

// Begin notes in the store that the operation of the call is under way, so that from here on the same key stands for
// these bytes.
func (tx *Tx) Begin(c *Call) error { return tx.operation(c, nil) }

// Finish keeps the reply to the call, in the commit of what it did, and returns it.
func (tx *Tx) Finish(c *Call, reply any) error {
	raw, err := json.Marshal(reply)
	if err != nil {
		return err
	}
	tx.wake = append(tx.wake, func() { c.reply = raw })
	return tx.operation(c, raw)
}

// FinishLater keeps the reply to the call with the next commit, whatever that is for. For a reply that would be found
// again, if less quickly, when the same request comes after a crash.
func (a *Agent) FinishLater(c *Call, reply any) error {
	raw, err := json.Marshal(reply)
	if err != nil {
		return err
	}
	c.reply = raw
	a.later.add(bucketPayments, string(operationKey(c.Key)), operation{c.URI, c.digest, raw}.encode())
	return nil
}

func (tx *Tx) operation(c *Call, reply []byte) error {
	return tx.bolt.Bucket(bucketPayments).Put(operationKey(c.Key), operation{c.URI, c.digest, reply}.encode())
}

// Endpoints lists the endpoints: method and path, as http.ServeMux has them.
func (a *Agent) Endpoints() []string {
	patterns := make([]string, len(a.routes))
	for i, rt := range a.routes {
		patterns[i] = rt.pattern
	}
	return patterns
}

// Get adds a route that reads. handle returns what is sent as JSON.
func (a *Agent) Get(pattern string, handle func(ctx context.Context, c *Call) (any, error)) {
	a.routes = append(a.routes, route{"GET " + pattern, func(w http.ResponseWriter, r *http.Request, c *Call) error {
		reply, err := handle(r.Context(), c)
		if err != nil {
			return err
		}
		return writeJSON(w, reply)
	}})
}

// Post adds a route that does something. handle must be repeatable; once it has called [Tx.Finish], the same
// request gets that reply without it.
func (a *Agent) Post(pattern string, handle func(ctx context.Context, c *Call) (any, error)) {
	a.routes = append(a.routes, route{"POST " + pattern, func(w http.ResponseWriter, r *http.Request, c *Call) error {
		if err := a.mayAct(r.Context(), pattern); err != nil {
			return err
		}
		if err := c.readBody(r); err != nil {
			return err
		}
		mine := c.URI + "\x00" + c.Key
		if _, busy := a.inFlight.LoadOrStore(mine, struct{}{}); busy {
			w.Header().Set("Retry-After", "1")
			return payment.Refuse(payment.InFlight, "operation", c.Key, "to wait until the same request is answered")
		}
		defer a.inFlight.Delete(mine)
		if stored, err := a.replay(c); err != nil {
			return err
		} else if stored != nil {
			a.reached("answering", c.Key)
			w.Header().Set(replayedHeader, "true")
			writeRaw(w, stored)
			return nil
		}
		// What was begun is finished even if the caller goes away.
		reply, err := handle(a.patient(context.WithoutCancel(r.Context()), r.Header.Get(patienceHeader)), c)
		a.reached("answering", c.Key)
		if err != nil {
			return err
		}
		if c.reply != nil { // it was encoded to be kept
			writeRaw(w, c.reply)
			return nil
		}
		return writeJSON(w, reply)
	}})
}

func (c *Call) readBody(r *http.Request) error {
	if c.Key = r.Header.Get(idempotencyHeader); c.Key == "" || len(c.Key) > 200 {
		return payment.Refuse(payment.KeyRequired, idempotencyHeader, strconv.Quote(clip(c.Key)), "ID/OPERATION/NUMBER")
	}
	if media := r.Header.Get("Content-Type"); media != "application/json" {
		return problem.Errorf(http.StatusUnsupportedMediaType, "media-type", "content type is %q, want application/json", media)
	}
	var err error
	if c.body, err = problem.Body(r, maxBody); err != nil {
		return err
	}
	h := sha256.New()
	for _, part := range []string{c.URI, r.URL.Path} {
		h.Write([]byte(part))
		h.Write([]byte{0})
	}
	h.Write(c.body)
	c.digest = base64.RawURLEncoding.EncodeToString(h.Sum(nil))
	return nil
}

// replay returns the reply to an operation that was done before, nil if it was not. To another party the
// operation does not exist.
func (a *Agent) replay(c *Call) (stored []byte, err error) {
	waiting, _ := a.later.get(bucketPayments, string(operationKey(c.Key)))
	err = a.Read(func(tx *Tx) error {
		raw := waiting
		if raw == nil {
			raw = tx.bolt.Bucket(bucketPayments).Get(operationKey(c.Key))
		}
		if raw == nil {
			return nil
		}
		op, err := readOperation(raw)
		switch {
		case err != nil:
			return err
		case op.peer != c.URI:
			return ErrNotFound
		case op.digest != c.digest:
			return payment.Refuse(payment.Conflict, "operation "+c.Key, "asked for with other bytes before", "the same bytes, or a key of its own")
		}
		if len(op.reply) > 0 {
			stored = op.reply
		}
		return nil
	})
	return stored, err
}

// Handler returns the agent's endpoints behind the identity check.
func (a *Agent) Handler() http.Handler {
	writer := problem.Writer{Mappers: []problem.Mapper{mapError}, Logger: a.cfg.Logger}
	mux := http.NewServeMux()
	for _, rt := range a.routes {
		mux.Handle(rt.pattern, problem.Handler(writer, func(w http.ResponseWriter, r *http.Request) error {
			peer, _, ok := mtls.PeerFrom(r.Context())
			if !ok {
				return errors.New("a request without identity")
			}
			if err := a.endpoints.Authorize(rt.pattern, peer.Identity); err != nil {
				return payment.Refuse(payment.WrongRole, "caller of "+rt.pattern, peer.Identity.String(), a.callers(rt.pattern))
			}
			a.counters.served.Add(1)
			c := &Call{Peer: peer.Identity, URI: peer.Identity.String(), Request: r, agent: a}
			c.Exchange = Exchange{agent: a, peer: c.URI}
			return rt.handle(w, r, c)
		}))
	}
	mux.Handle("/", problem.Handler(writer, func(http.ResponseWriter, *http.Request) error {
		return payment.Refuse(payment.NotFound, "path", "not an endpoint of this agent", "one of docs/payment.md")
	}))
	return a.following(writer, mtls.Handler(mtls.HandlerConfig{
		Trust: a.cfg.Source.Trust(), Authorize: mtls.AuthorizeRole(a.roles()...), Status: a.cfg.Status,
		Problems: writer, Now: a.cfg.Now, Refusal: a.refusal,
		StatusOf: func(r *http.Request) mtls.StatusChecker {
			if r.Method == http.MethodGet {
				return a.cfg.Enquiry
			}
			return nil
		},
	}, mux))
}

// refusal gives a refused caller the code that a refused signer has.
func (a *Agent) refusal(presented []*x509.Certificate, err error) error {
	return a.refusalOf(presented, err)
}

// callers says who may call the endpoint.
func (a *Agent) callers(pattern string) string {
	roles := slices.DeleteFunc(policy.Roles(), func(r policy.Role) bool {
		return a.endpoints.Authorize(pattern, policy.Identity{Role: r}) != nil
	})
	if len(roles) == 0 {
		return "nobody"
	}
	return "a party with the role " + words(roles)
}

// roles lists everybody who may call something.
func (a *Agent) roles() []policy.Role {
	return slices.DeleteFunc(policy.Roles(), func(r policy.Role) bool {
		return !slices.ContainsFunc(a.routes, func(rt route) bool { return a.endpoints.Authorize(rt.pattern, policy.Identity{Role: r}) == nil })
	})
}

func words(roles []policy.Role) string {
	var text strings.Builder
	for i, role := range roles {
		if i > 0 {
			text.WriteString(" or ")
		}
		text.WriteString(string(role))
	}
	return text.String()
}

// Run serves on the listener, nil for a party that only calls, and does the scheduled work until ctx ends. It
// also serves the control socket.
func (a *Agent) Run(ctx context.Context, listener net.Listener) error {
	if err := a.Write(ctx, func(tx *Tx) error {
		return tx.Event(audit.Event{Time: a.Now().UTC(), Kind: ServerStarted, Actor: a.uri, Role: string(a.self.Role)})
	}); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var servers []*http.Server
	ended := make(chan error, 3)
	running := 0
	serve := func(handler http.Handler, l net.Listener) {
		srv := &http.Server{
			Handler: handler, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 30 * time.Second, IdleTimeout: 2 * time.Minute,
			MaxHeaderBytes: 16 << 10, ErrorLog: log.New(&lines{a.cfg.Logger}, "", 0),
			BaseContext: func(net.Listener) context.Context { return ctx },
		}
		servers = append(servers, srv)
		running++
		go func() {
			err := srv.Serve(l)
			if errors.Is(err, http.ErrServerClosed) {
				err = nil
			}
			ended <- err
		}()
	}
	if listener != nil {
		conf, err := mtls.Server(a.cfg.Source, mtls.AuthorizeRole(a.roles()...), a.atTheDoor())
		if err != nil {
			return err
		}
		conf.NextProtos = []string{"http/1.1"}
		handler := a.Handler()
		if a.cfg.Serving != nil {
			handler = a.cfg.Serving(handler)
		}
		serve(handler, tls.NewListener(listener, conf))
	}
	control, err := a.listenControl(ctx)
	if err != nil {
		return err
	}
	if control != nil {
		serve(a.control, control)
	}
	running++
	go func() { ended <- a.jobs.run(ctx) }()
	return drain(ctx, cancel, ended, running, servers)
}
