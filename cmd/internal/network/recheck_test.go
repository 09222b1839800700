package network_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/payca/payca/ca"
	"github.com/payca/payca/ca/status"
	"github.com/payca/payca/cmd/internal/api"
	"github.com/payca/payca/cmd/internal/config"
	"github.com/payca/payca/cmd/internal/network"
	"github.com/payca/payca/enroll"
	"github.com/payca/payca/policy"
)

// rechecked asks for a walk over the inventory, waits for its end and returns the findings.
func (r *running) rechecked(t *testing.T) []ca.Finding {
	t.Helper()
	_, err := r.operator.Recheck(t.Context())
	must(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for {
		health, err := r.operator.Health(ctx)
		must(t, err)
		if h := health.Recheck; !h.Running {
			if h.Finished.IsZero() || h.Error != "" {
				t.Fatalf("the walk ended as %+v, want it finished", h)
			}
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	var all []ca.Finding
	for f, err := range r.operator.Findings(t.Context()) {
		must(t, err)
		all = append(all, f)
	}
	return all
}

// wantFinding wants one finding, of that party and rule.
func wantFinding(t *testing.T, got []ca.Finding, party, rule string) {
	t.Helper()
	if len(got) != 1 || got[0].Party != party || len(got[0].Faults) != 1 || got[0].Faults[0].Rule != rule {
		t.Errorf("findings %+v, want one against %s for %s", got, party, rule)
	}
}

func keyOf(t *testing.T, dir string) ca.KeyHash {
	t.Helper()
	id, err := enroll.Open(dir)
	must(t, err)
	return sha256.Sum256(id.Leaf().RawSubjectPublicKeyInfo)
}

func TestTheInventoryIsLookedAtAgain(t *testing.T) {
	t.Parallel()
	list := filepath.Join(t.TempDir(), "weak")
	must(t, os.WriteFile(list, []byte("# none of ours\n00000000000000000000\n"), 0o600))
	r := startConfigured(t, network.Config{}, func(c *config.Config) { c.Keys.WeakLists = []string{list} })
	shop1, dir2 := keyOf(t, r.enroll(t, "shop1", policy.Merchant)), r.enroll(t, "shop2", policy.Merchant)
	shop2 := keyOf(t, dir2)
	if got := r.rechecked(t); len(got) != 0 {
		t.Errorf("findings %+v in a new network, want none", got)
	}
	_, err := r.operator.BlockKey(t.Context(), api.KeyRequest{Key: shop1, Reason: "leaked"})
	must(t, err)
	wantFinding(t, r.rechecked(t), "shop1", "key-blocked")
	health, err := r.operator.Health(t.Context())
	must(t, err)
	if !slices.ContainsFunc(health.Alarms, func(a status.Alarm) bool { return a.Name == "recheck-findings" }) {
		t.Errorf("alarms %+v, want recheck-findings", health.Alarms)
	}
	_, err = r.operator.UnblockKey(t.Context(), api.KeyRequest{Key: shop1, Reason: "was another one"})
	must(t, err)
	if got := r.rechecked(t); len(got) != 0 {
		t.Errorf("findings %+v after the block was taken back, want none", got)
	}

	must(t, os.WriteFile(list, fmt.Appendf(nil, "%s\n", shop2), 0o600))
	r = r.restart(t)
	wantFinding(t, r.rechecked(t), "shop2", "key-weak")
	if _, err := enroll.Renew(t.Context(), dir2, true); err == nil || !strings.Contains(err.Error(), "key-weak: csr: public key is P-256, in the list "+list) {
		t.Errorf("renewed with a listed key: got %v, want a refusal for key-weak", err)
	}
}

func TestAListOfWeakKeysThatCannotBeReadIsToldWithItsLine(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	conf := configure(t)
	list := filepath.Join(t.TempDir(), "weak")
	must(t, os.WriteFile(list, []byte("00000000000000000000\n"), 0o600))
	conf.Keys.WeakLists = []string{list}
	_, err := network.Create(t.Context(), network.CreateConfig{Dir: dir, Config: conf})
	must(t, err)
	must(t, os.WriteFile(list, []byte("# one\nxyz\n"), 0o600))
	if _, err := network.Open(t.Context(), network.Config{Dir: dir}); err == nil || !strings.Contains(err.Error(), list+`:2: "xyz", want 20 hexadecimal digits`) {
		t.Errorf("got %v, want the line", err)
	}
	must(t, os.Remove(list))
	if _, err := network.Open(t.Context(), network.Config{Dir: dir}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("without the list: got %v, want that it is not there", err)
	}
}
