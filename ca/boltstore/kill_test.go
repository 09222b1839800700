package boltstore_test

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/payca/payca/ca"
	"github.com/payca/payca/ca/audit"
	"github.com/payca/payca/ca/boltstore"
	"github.com/payca/payca/ca/storetest"
)

// envPath tells a child of the kill test which store to issue into.
const envPath = "PAYCA_TEST_KILL_STORE"

// TestIssueUntilKilled is the child: it issues and says what was issued.
func TestIssueUntilKilled(t *testing.T) {
	path := os.Getenv(envPath)
	if path == "" {
		t.Skip("runs as a child of TestWhatWasIssuedSurvivesAKill")
	}
	store := open(t, path, nil)
	var mu sync.Mutex // guards stdout
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			for {
				s := serial(1 + rand.Int64N(1<<62))
				if _, err := issue(context.Background(), store, s); err != nil {
					t.Errorf("issuing %s: %v", s, err)
					return
				}
				mu.Lock()
				fmt.Fprintf(os.Stdout, "issued %s\n", s)
				mu.Unlock()
			}
		})
	}
	group.Wait()
}

func TestWhatWasIssuedSurvivesAKill(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("kills processes for seconds")
	}
	path := filepath.Join(t.TempDir(), "ca.db")
	var issued []ca.Serial
	for round := range 10 {
		printed := killOne(t, path)
		if len(printed) == 0 {
			t.Fatalf("round %d: the child issued nothing", round)
		}
		issued = append(issued, printed...)
		store := open(t, path, nil)
		for _, s := range issued {
			if record, err := store.BySerial(t.Context(), s); err != nil || record.Serial != s {
				t.Errorf("round %d: got %+v, %v, want certificate %s", round, record, err, s)
			}
		}
		wantSound(t, store)
		wantOneEventEach(t, store)
		wantOK(t, store.Close())
	}
	t.Logf("%d certificates were issued before the kills", len(issued))
}

// killOne lets a child issue for a random time, kills it and returns what it said it issued.
func killOne(t *testing.T, path string) (issued []ca.Serial) {
	t.Helper()
	child := exec.Command(os.Args[0], "-test.run=^TestIssueUntilKilled$", "-test.v")
	child.Env = append(os.Environ(), envPath+"="+path)
	child.Stderr = os.Stderr
	out, err := child.StdoutPipe()
	wantOK(t, err)
	wantOK(t, child.Start())
	var timer *time.Timer
	lines := bufio.NewReader(out)
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			break // a line that has no end was not said
		}
		text, ok := strings.CutPrefix(strings.TrimSpace(line), "issued ")
		if !ok {
			continue
		}
		s, err := ca.ParseSerial(text)
		wantOK(t, err)
		if issued = append(issued, s); timer == nil {
			timer = time.AfterFunc(time.Duration(rand.IntN(200))*time.Millisecond, func() { _ = child.Process.Kill() })
		}
	}
	if err := child.Wait(); err == nil || child.ProcessState.Exited() {
		t.Errorf("got child %v, %v, want it killed", child.ProcessState, err)
	}
	return issued
}

// wantOneEventEach checks that certificates and their events are the same set.
func wantOneEventEach(t *testing.T, store *boltstore.Store) {
	t.Helper()
	certificates, events := 0, 0
	for record, err := range store.Certificates(t.Context(), ca.Filter{}) {
		wantOK(t, err)
		certificates++
		leaves, err := store.Log().Leaves(t.Context(), record.Index, 1)
		wantOK(t, err)
		e, err := audit.ParseEvent(leaves[0])
		if err != nil || e.Serial != record.Serial.String() {
			t.Errorf("entry %d: got %+v, %v, want the issuance of %s", record.Index, e, err, record.Serial)
		}
	}
	report, err := audit.Verify(t.Context(), store.Log(), storetest.Log(t).VerifierKey())
	wantOK(t, err)
	if events = int(report.Size); events != certificates {
		t.Errorf("got %d events, want one for each of %d certificates", events, certificates)
	}
}
