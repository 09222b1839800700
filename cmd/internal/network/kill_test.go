package network_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/payca/payca/ca/audit"
	"github.com/payca/payca/cmd/internal/api"
	"github.com/payca/payca/cmd/internal/network"
	"github.com/payca/payca/enroll"
	"github.com/payca/payca/policy"
)

// serveVariable makes the test binary serve the network in the directory that it names.
const serveVariable = "PAYCA_TEST_SERVE"

func TestMain(m *testing.M) {
	if dir := os.Getenv(serveVariable); dir != "" {
		if err := serve(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

func serve(dir string) error {
	n, err := network.Open(context.Background(), network.Config{Dir: dir})
	if err != nil {
		return err
	}
	listeners, err := n.Listen()
	if err != nil {
		return err
	}
	return n.Serve(context.Background(), listeners)
}

// child starts a server process on the network and waits until it answers.
func child(t *testing.T, dir, address string) *exec.Cmd {
	t.Helper()
	executable, err := os.Executable()
	must(t, err)
	cmd := exec.Command(executable)
	cmd.Env = append(os.Environ(), serveVariable+"="+dir)
	cmd.Stderr = os.Stderr
	must(t, cmd.Start())
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	for range 200 {
		conn, err := net.Dial("tcp", address)
		if err == nil {
			_ = conn.Close()
			return cmd
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Fatal("the server does not answer")
	return nil
}

// No certificate that was handed out is lost by kill -9, and what a kill left
// half done is closed by the next start.
func TestAKilledServerLosesNothingThatItHandedOut(t *testing.T) {
	if testing.Short() {
		t.Skip("starts and kills server processes")
	}
	t.Parallel()
	dir := t.TempDir()
	conf := configure(t)
	_, err := network.Create(t.Context(), network.CreateConfig{Dir: dir, Config: conf})
	must(t, err)
	key, err := network.LogKey(dir)
	must(t, err)
	handed := map[string]bool{} // serials
	for round := range 4 {
		server := child(t, dir, conf.Listen.HTTPS)
		client := operator(t, dir)
		verifyAll(t, client, key, handed)
		var mu sync.Mutex
		var group sync.WaitGroup
		for worker := range 4 {
			group.Go(func() {
				for i := 0; ; i++ {
					serial, err := enrollOne(t, client, fmt.Sprintf("p%d-%d-%d", round, worker, i))
					if err != nil {
						return // the server was killed
					}
					mu.Lock()
					handed[serial] = true
					mu.Unlock()
				}
			})
		}
		time.Sleep(100*time.Millisecond + rand.N(400*time.Millisecond))
		must(t, server.Process.Kill())
		_ = server.Wait()
		group.Wait()
	}
	child(t, dir, conf.Listen.HTTPS)
	verifyAll(t, operator(t, dir), key, handed)
	t.Logf("%d certificates were handed out", len(handed))
	if len(handed) < 8 {
		t.Errorf("%d certificates were handed out, want enough to mean something", len(handed))
	}
}

func enrollOne(t *testing.T, client *api.Client, id string) (string, error) {
	if _, err := client.AddParty(t.Context(), policy.Party{ID: id, Role: policy.Merchant, Name: id}); err != nil {
		return "", err
	}
	token, err := client.CreateToken(t.Context(), api.TokenRequest{Party: id})
	if err != nil {
		return "", err
	}
	outcome, err := enroll.Enroll(t.Context(), enroll.EnrollConfig{Token: token.Token, Dir: filepath.Join(t.TempDir(), id)})
	return outcome.Serial, err
}

// verifyAll checks that the inventory has every serial and that the log proves itself.
func verifyAll(t *testing.T, client *api.Client, key string, handed map[string]bool) {
	t.Helper()
	found := map[string]bool{}
	for c, err := range client.Certificates(t.Context(), url.Values{}) {
		must(t, err)
		if found[c.Serial.String()] {
			t.Errorf("serial %s stands twice in the inventory", c.Serial)
		}
		found[c.Serial.Int().Text(16)] = true
	}
	for serial := range handed {
		if !found[serial] {
			t.Errorf("certificate %s was handed out and is not in the inventory", serial)
		}
	}
	if _, err := audit.Verify(t.Context(), client, key); err != nil {
		t.Errorf("audit log: %v", err)
	}
}
