package enroll

import (
	"bytes"
	"context"
	"crypto"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/payca/payca/enroll/problem"
)

// pollEvery is how often Enroll asks whether a request was approved.
const pollEvery = 5 * time.Second

// A waiting is an enrollment under way: the key and the request, kept before the token is used up, so that neither a
// lost answer nor days of waiting for approvers lose them. It is a file of its own beside the identity, for each token one.
type waiting struct {
	Token   string `json:"token"`             // id of the token
	Request string `json:"request,omitempty"` // id of the request that waits, once the CA has said it
	URL     string `json:"url"`
	Roots   []byte `json:"roots"` // DER, one after the other
	CSR     []byte `json:"csr"`   // PKCS#10, DER
	Key     []byte `json:"key"`   // PKCS#8, DER

	path   string
	roots  []*x509.Certificate
	signer crypto.Signer
	locked *locked // nobody else changes the directory, but while it is waited
}

func waitingPath(dir string, t Token) string {
	return filepath.Join(dir, "enrollment-"+t.ID+".json")
}

// openWaiting reads what waits for the token, or begins it.
func openWaiting(ctx context.Context, cfg EnrollConfig, t Token, l *locked) (*waiting, error) {
	w := &waiting{path: waitingPath(cfg.Dir, t), locked: l}
	raw, err := os.ReadFile(w.path)
	if errors.Is(err, fs.ErrNotExist) {
		return w, w.begin(ctx, cfg, t)
	}
	if err == nil {
		err = w.read(raw)
	}
	if err == nil && (w.Token != t.ID || w.URL != t.URL || Fingerprint(w.roots[0]) != t.RootFingerprint) {
		err = errors.New("it is of another token, want it moved away")
	}
	if err == nil && (cfg.Key != nil && !sameKey(w.signer.Public(), cfg.Key.Public()) || cfg.CSR != nil && !bytes.Equal(w.CSR, cfg.CSR)) {
		err = errors.New("it is of another key or request than is given, want those, or none given")
	}
	if err != nil {
		return nil, fmt.Errorf("reading the enrollment under way in %s: %w", w.path, err)
	}
	return w, nil
}

func (w *waiting) read(raw []byte) error {
	if err := json.Unmarshal(raw, w); err != nil {
		return err
	}
	key, err := x509.ParsePKCS8PrivateKey(w.Key)
	if err != nil {
		return err
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return fmt.Errorf("a key of type %T, want one that signs", key)
	}
	w.signer = signer
	w.roots, err = x509.ParseCertificates(w.Roots)
	if err == nil && len(w.roots) == 0 {
		err = errors.New("no root, want the one that the token names")
	}
	return err
}

// request takes the key and the request that are given, or makes them.
func (w *waiting) request(cfg EnrollConfig) (err error) {
	switch {
	case cfg.Key == nil && cfg.CSR == nil:
		w.signer, w.CSR, err = NewKey()
	case cfg.CSR == nil:
		w.signer = cfg.Key
		w.CSR, err = newRequest(cfg.Key)
	case cfg.Key == nil:
		err = errors.New("a request without its key, want both")
	default:
		w.signer, w.CSR = cfg.Key, cfg.CSR
		parsed, parseErr := x509.ParseCertificateRequest(cfg.CSR)
		if err = parseErr; err == nil && !sameKey(parsed.PublicKey, cfg.Key.Public()) {
			err = errors.New("the request is on another key than is given")
		}
	}
	return err
}

// sameKey compares public keys.
func sameKey(a, b crypto.PublicKey) bool {
	public, ok := a.(interface{ Equal(crypto.PublicKey) bool })
	return ok && public.Equal(b)
}

// begin makes a key, or takes the one that is given, and keeps it.
func (w *waiting) begin(ctx context.Context, cfg EnrollConfig, t Token) (err error) {
	w.Token, w.URL = t.ID, t.URL
	if err := w.request(cfg); err != nil {
		return err
	}
	if err := t.Admits(w.CSR, w.signer.Public()); err != nil {
		return err
	}
	if w.roots, err = FetchRoots(ctx, t); err != nil {
		return err
	}
	for _, root := range w.roots {
		w.Roots = append(w.Roots, root.Raw...)
	}
	if w.Key, err = x509.MarshalPKCS8PrivateKey(w.signer); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(w.path), 0o700); err != nil {
		return err
	}
	return w.save()
}

// save replaces the file, which is on disk when it returns.
func (w *waiting) save() error {
	raw, err := json.Marshal(w)
	if err != nil {
		return err
	}
	return WriteFile(w.path, append(raw, '\n'), 0o600)
}

// drop ends what waited, unless another process did, while this one waited.
func (w *waiting) drop() error {
	err := os.Remove(w.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// pause waits a while, in which others may do something in the directory: deliver an approval, or finish.
func (w *waiting) pause(ctx context.Context, d time.Duration) error {
	w.locked.unlock()
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
	}
	return w.locked.lock(ctx)
}

// ask sends the request, or asks what became of it, until there is a certificate or it has to be waited for.
func (w *waiting) ask(ctx context.Context, client *Client, cfg EnrollConfig) (*Reply, error) {
	reply, err := w.once(ctx, client, cfg)
	for err == nil && reply.Pending != nil || cfg.Wait && w.outage(ctx, err) {
		if reply == nil {
			reply = &Reply{Pending: &Pending{ID: w.Request}}
		}
		if w.Request != reply.Pending.ID {
			w.Request = reply.Pending.ID
			if err := w.save(); err != nil {
				return nil, err
			}
			cfg.Notify(*reply.Pending)
		}
		if !cfg.Wait {
			return reply, nil
		}
		if err := w.pause(ctx, cfg.Poll); err != nil {
			return nil, err
		}
		reply, err = client.Fetch(ctx, w.Request)
	}
	if w.over(err) {
		err = errors.Join(err, w.drop())
	}
	return reply, err
}

func (w *waiting) once(ctx context.Context, client *Client, cfg EnrollConfig) (*Reply, error) {
	switch {
	case w.Request == "" && cfg.Approval != "":
		return nil, errors.New("an approval for an enrollment that is not under way, want it asked for first, without the approval")
	case w.Request == "":
		return client.Enroll(ctx, cfg.Token, w.CSR)
	case cfg.Approval != "":
		return client.Vote(ctx, w.Request, cfg.Approval)
	}
	return client.Fetch(ctx, w.Request)
}

// outage says whether the CA cannot be asked now about a request that it has: asking later is all there is to do.
func (w *waiting) outage(ctx context.Context, err error) bool {
	refusal, refused := errors.AsType[*problem.Problem](err)
	return err != nil && ctx.Err() == nil && w.Request != "" && (!refused || refusal.Status >= 500)
}

// over says whether nothing can come of the key any more: the CA refused the request before it was filed, or settled it.
func (w *waiting) over(err error) bool {
	refusal, ok := errors.AsType[*problem.Problem](err)
	if !ok || refusal.Status >= 500 {
		return false
	}
	return w.Request == "" || refusal.Name() == "request-settled" || refusal.Name() == "not-found"
}
