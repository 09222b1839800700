package network_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
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

func TestSecretsOfNoticesMustBeThere(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	files := map[string]string{"empty": "\nsecret\n", "roots": "no PEM", "good": "secret"}
	for name, text := range files {
		must(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	at := func(name string) string { return filepath.Join(dir, name) }
	mail := config.Mail{Server: "mail.example:587", Security: "starttls", From: "a@b.example", To: []string{"a@b.example"}}
	for name, tt := range map[string]struct {
		notices func(n *config.Notices)
		want    string
	}{
		"an empty first line": {func(n *config.Notices) { n.Webhook.URL, n.Webhook.SecretFile = "https://x.example", at("empty") }, "empty is empty, want the secret there"},
		"no file":             {func(n *config.Notices) { n.Webhook.URL, n.Webhook.SecretFile = "https://x.example", at("none") }, "reading a secret for notices: open "},
		"no password":         {func(n *config.Notices) { n.Mail, n.Mail.User, n.Mail.PasswordFile = mail, "payca", at("none") }, "reading a secret for notices: open "},
		"roots that are none": {func(n *config.Notices) { n.Mail, n.Mail.CAFile = mail, at("roots") }, "roots holds no certificate, want PEM"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conf := configure(t)
			tt.notices(&conf.Notices)
			home := t.TempDir()
			_, err := network.Create(t.Context(), network.CreateConfig{Dir: home, Config: conf})
			must(t, err)
			n, err := network.Open(t.Context(), network.Config{Dir: home, Now: time.Now})
			if err == nil {
				_ = n.Close()
			}
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want it to say %q", err, tt.want)
			}
		})
	}
}
