package ocsp_test

import (
	"crypto"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/payca/payca/ocsp"
)

// A flight that read its status before a revocation must not be joined or kept after Drop.
func TestDropEndsFlights(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t, "merchant ca", "P-256")
	g := &gate{entered: make(chan struct{}, 8), open: make(chan struct{}, 8)}
	g.status.Store(int64(ocsp.Good))
	r := newResponder(t, ca, g, nil)
	leaf := ca.leaf(t, 1)
	der := request(t, leaf, ca.cert, crypto.SHA256, nil)
	ask := func(out chan<- ocsp.State) { out <- singles(t, post(r, der).Body.Bytes())[0].State }
	before, after := make(chan ocsp.State, 1), make(chan ocsp.State, 1)
	go ask(before)
	<-g.entered // has read good

	g.status.Store(int64(ocsp.Revoked))
	r.Drop("merchant", leaf.SerialNumber.Bytes())
	go ask(after)
	select {
	case <-g.entered: // a flight of its own
	case <-time.After(10 * time.Second):
		t.Fatal("a request after Drop joined a flight from before")
	}
	g.open <- struct{}{}
	g.open <- struct{}{}
	if got := <-after; got != ocsp.Revoked {
		t.Errorf("asked after Drop: got %v, want revoked", got)
	}
	<-before
	ask(after)
	if got := <-after; got != ocsp.Revoked {
		t.Errorf("kept: got %v, want revoked", got)
	}
}

// Readers race revocations: an answer asked for after Drop returned is never good, be it kept whole or as a signature,
// with an index before the source, and renewed all the time.
func TestDropNeverLeavesAStaleAnswer(t *testing.T) {
	t.Parallel()
	t.Run("answers", func(t *testing.T) { t.Parallel(); raceDrop(t, 0) })
	t.Run("signatures", func(t *testing.T) { t.Parallel(); raceDrop(t, 1) })
}

func raceDrop(t *testing.T, cached int) {
	ca := newAuthority(t, "merchant ca", "P-256")
	src := &book{}
	x, err := ocsp.NewIndex(ocsp.IndexConfig{Source: src, Issuers: []string{"merchant"}})
	if err != nil {
		t.Fatal(err)
	}
	r := newResponder(t, ca, x, func(cfg *ocsp.ResponderConfig) { cfg.Cached = cached })
	revocations := 150
	if testing.Short() {
		revocations = 40
	}
	var revoked atomic.Int64 // certificates up to this one are revoked
	ders := make([][]byte, revocations)
	serials := make([][]byte, revocations)
	for i := range ders {
		leaf := ca.issue(t, int64(i+1), ca.key.Public(), nil)
		src.set("merchant", leaf, ocsp.Status{State: ocsp.Good})
		ders[i], serials[i] = request(t, leaf, ca.cert, crypto.SHA256, nil), leaf.SerialNumber.Bytes()
	}
	var next, requests atomic.Int64
	stop := make(chan struct{})
	var readers sync.WaitGroup
	readers.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				r.Refresh(t.Context())
			}
		}
	})
	for range 4 {
		readers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				i := min(next.Load(), int64(revocations-1))
				gone := revoked.Load() > i
				requests.Add(1)
				st := singles(t, post(r, ders[i]).Body.Bytes())[0].State
				if gone && st != ocsp.Revoked {
					t.Errorf("certificate %d: got %v after its revocation returned, want revoked", i, st)
				}
			}
		})
	}
	for i := range revocations {
		for seen := requests.Load(); requests.Load() < seen+8; { // let the readers fill the cache
			time.Sleep(20 * time.Microsecond)
		}
		src.mu.Lock()
		src.status["merchant"+string(serials[i])] = ocsp.Status{State: ocsp.Revoked, RevokedAt: epoch, Since: epoch}
		src.mu.Unlock()
		x.Drop("merchant", serials[i])
		r.Drop("merchant", serials[i])
		revoked.Store(int64(i + 1))
		for seen := requests.Load(); requests.Load() < seen+4; {
			time.Sleep(20 * time.Microsecond)
		}
		next.Store(int64(i + 1))
	}
	close(stop)
	readers.Wait()
	if st := r.Stats(); st.Hits == 0 || cached == 1 && st.Rebuilt == 0 {
		t.Errorf("%d answers came from the cache and %d were rebuilt: the race was not run", st.Hits, st.Rebuilt)
	}
}
