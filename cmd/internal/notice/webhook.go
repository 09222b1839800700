package notice

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"time"

	"github.com/payca/payca/ca"
)

// A Webhook posts messages as JSON with an Idempotency-Key, signed by HMAC-SHA256 in Payca-Signature (sha256=HEX, over
// the body) if there is a secret. It follows no redirect.
type Webhook struct {
	Network string
	URL     string
	Secret  []byte
}

// Repeats implements [Target]: the receiver knows a message again by its key.
func (t Webhook) Repeats() bool { return true }

// A posted is the body of a webhook.
type posted struct {
	Network string           `json:"network"`
	Key     string           `json:"key"`
	Topic   string           `json:"topic"`
	Time    time.Time        `json:"time"`
	Items   []ca.MessageItem `json:"items"`
}

// Send implements [Target].
func (t Webhook) Send(ctx context.Context, m ca.Message) error {
	body, err := json.Marshal(posted{t.Network, key(m), m.Topic, m.Created.UTC(), byEnd(m.Items)})
	if err != nil {
		return &RefusedError{err}
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, t.URL, bytes.NewReader(body))
	if err != nil {
		return &RefusedError{err}
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Idempotency-Key", key(m))
	if len(t.Secret) > 0 {
		mac := hmac.New(sha256.New, t.Secret)
		mac.Write(body)
		req.Header.Set("Payca-Signature", "sha256="+hex.EncodeToString(mac.Sum(nil)))
	}
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := client.Do(req)
	if dial, ok := errors.AsType[*net.OpError](err); ok && dial.Op == "dial" {
		return err // nobody has seen it
	}
	if err != nil {
		return &DoubtError{err}
	}
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10))
	_ = resp.Body.Close()
	switch {
	case resp.StatusCode >= 200 && resp.StatusCode <= 299:
		return nil
	case slices.Contains(final, resp.StatusCode):
		return &RefusedError{fmt.Errorf("%s answers %s, want 2xx", t.URL, resp.Status)}
	}
	return fmt.Errorf("%s answers %s, want 2xx", t.URL, resp.Status)
}

// final are the answers about the message itself. Others, as 401 or 404, are about what the operator can mend.
var final = []int{http.StatusBadRequest, http.StatusGone, http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType, http.StatusUnprocessableEntity}
