package network_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/payca/payca/cmd/internal/config"
	"github.com/payca/payca/cmd/internal/network"
	"github.com/payca/payca/policy"
)

// A network with a webhook tells of the operator's certificate, and its health shows that it did.
func TestANetworkTellsOfWhatEnds(t *testing.T) {
	t.Parallel()
	posts := make(chan []string, 8)
	hook := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var body struct {
			Topic string                   `json:"topic"`
			Items []struct{ Party string } `json:"items"`
		}
		if err := json.NewDecoder(r.Body).Decode(&body); err != nil || body.Topic != "expires within 365d" {
			t.Errorf("got %+v, %v", body, err)
		}
		var parties []string
		for _, item := range body.Items {
			parties = append(parties, item.Party)
		}
		posts <- parties
	}))
	t.Cleanup(hook.Close)
	secret := filepath.Join(t.TempDir(), "secret")
	must(t, os.WriteFile(secret, []byte("hook\n"), 0o600))
	r := startConfigured(t, network.Config{Now: time.Now}, func(c *config.Config) {
		c.Notices.Expiring = []policy.Duration{policy.Duration(365 * 24 * time.Hour)}
		c.Notices.Webhook = config.Hook{URL: hook.URL, SecretFile: secret}
	})
	select {
	case parties := <-posts:
		if len(parties) != 2 { // the operator and the server itself
			t.Errorf("told of %v, want operator and ca", parties)
		}
	case <-time.After(30 * time.Second):
		t.Fatal("nothing was posted within 30 s")
	}
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		h, err := r.operator.Health(t.Context())
		must(t, err)
		if h.Notices != nil && h.Notices.Sent == 1 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("health says %+v, want one sent", h.Notices)
		}
	}
}
