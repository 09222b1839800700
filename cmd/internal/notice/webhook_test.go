package notice_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/payca/payca/cmd/internal/notice"
)

func TestHowAWebhookAnswers(t *testing.T) {
	t.Parallel()
	for code, want := range map[int]string{
		200: "sent", 204: "sent", 302: "later", 401: "later", 404: "later", 408: "later", 409: "later", 429: "later", 500: "later", 503: "later",
		400: "refused", 410: "refused", 413: "refused", 415: "refused", 422: "refused",
	} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", "/elsewhere")
			w.WriteHeader(code)
		}))
		err := notice.Webhook{Network: "pay.example", URL: server.URL}.Send(t.Context(), message())
		if got := outcome(err); got != want {
			t.Errorf("%d: got %s, %v, want %s", code, got, err, want)
		}
		server.Close()
	}
}

// outcome names what an error of a target means.
func outcome(err error) string {
	_, refused := errors.AsType[*notice.RefusedError](err)
	_, doubt := errors.AsType[*notice.DoubtError](err)
	_, part := errors.AsType[*notice.PartError](err)
	switch {
	case err == nil:
		return "sent"
	case refused:
		return "refused"
	case doubt:
		return "doubt"
	case part:
		return "part"
	}
	return "later"
}

func TestAWebhookIsSigned(t *testing.T) {
	t.Parallel()
	var bodies, keys []string
	var header http.Header
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		header = r.Header.Clone()
		bodies, keys = append(bodies, string(body)), append(keys, header.Get("Idempotency-Key"))
	}))
	t.Cleanup(server.Close)
	target := notice.Webhook{Network: "pay.example", URL: server.URL, Secret: []byte("secret")}
	for range 2 {
		if err := target.Send(t.Context(), message()); err != nil {
			t.Fatal(err)
		}
	}
	if bodies[0] != bodies[1] || keys[0] != keys[1] || keys[0] != "notice-7-1898831167" {
		t.Errorf("keys %q, bodies %s, want the same both times", keys, bodies)
	}
	mac := hmac.New(sha256.New, []byte("secret"))
	mac.Write([]byte(bodies[0]))
	if header.Get("Payca-Signature") != "sha256="+hex.EncodeToString(mac.Sum(nil)) || header.Get("Content-Type") != "application/json" {
		t.Errorf("headers %v", header)
	}
	want := `{"network":"pay.example","key":"notice-7-1898831167","topic":"expires within 7d","time":"2030-03-04T05:06:07Z","items":[` +
		`{"serial":"01","party":"shop1","role":"merchant","profile":"merchant","not_after":"2030-03-05T05:06:07Z"},`
	if !strings.HasPrefix(bodies[0], want) {
		t.Errorf("got  %s\nwant %s", bodies[0], want)
	}
}

func TestAWebhookThatIsDownOrCutOff(t *testing.T) {
	t.Parallel()
	down := httptest.NewServer(http.NotFoundHandler())
	down.Close()
	if err := (notice.Webhook{URL: down.URL}).Send(t.Context(), message()); outcome(err) != "later" {
		t.Errorf("down: got %v, want it later: nobody saw it", err)
	}
	cut := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }))
	t.Cleanup(cut.Close)
	if err := (notice.Webhook{URL: cut.URL}).Send(t.Context(), message()); outcome(err) != "doubt" {
		t.Errorf("cut off: got %v, want doubt", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	slow := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // only then does the server see that the client is gone
		cancel()
		<-r.Context().Done()
	}))
	t.Cleanup(slow.Close)
	if err := (notice.Webhook{URL: slow.URL}).Send(ctx, message()); outcome(err) != "doubt" {
		t.Errorf("no answer: got %v, want doubt", err)
	}
}
