package paytest_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/payca/payca/enroll/problem"
	"github.com/payca/payca/payment"
	"github.com/payca/payca/payment/agent"
	"github.com/payca/payca/payment/agent/consumer"
	"github.com/payca/payca/payment/ledger"
	"github.com/payca/payca/payment/money"
	"github.com/payca/payca/payment/paytest"
)

// crowd is how many do the same at once.
func crowd() int {
	if testing.Short() {
		return 32
	}
	return 64
}

// steady are options for tests in which nothing fails, but much happens at once.
func steady() paytest.Options {
	return paytest.Options{Status: paytest.Good, NoSync: true, Timeout: 20 * time.Second}
}

// rounds is how often two things race.
func rounds() int {
	if testing.Short() {
		return 4
	}
	return 40
}

// together does something n times at once and returns the errors.
func together(n int, do func(i int) error) []error {
	var wg sync.WaitGroup
	failed := make([]error, n)
	begin := make(chan struct{})
	for i := range n {
		wg.Go(func() {
			<-begin
			failed[i] = do(i)
		})
	}
	close(begin)
	wg.Wait()
	return failed
}

// count counts the nil errors.
func count(failed []error) (n int) {
	for _, err := range failed {
		if err == nil {
			n++
		}
	}
	return n
}

func TestOfManyPaymentsOneGetsTheLastCent(t *testing.T) {
	t.Parallel()
	crowd := crowd()
	opts := steady()
	opts.Balance = 30_000 // one workstation
	w := paytest.New(t, opts)
	ids := make([]string, crowd)
	views := make([]agent.View, crowd)
	for i := range ids {
		offered, err := w.Consumer.Order(t.Context(), w.Shop.URI, w.Terms(1))
		if err != nil {
			t.Fatal(err)
		}
		ids[i] = offered.ID
		if _, err := w.Consumer.Accept(t.Context(), ids[i], consumer.Choice{Mode: payment.ConfirmNone}); err != nil {
			t.Fatal(err)
		}
	}
	for _, err := range together(crowd, func(i int) (err error) {
		views[i], err = w.Consumer.Pay(t.Context(), ids[i])
		return err
	}) {
		if err != nil {
			t.Error(err)
		}
	}
	codes := map[string]int{}
	for i, v := range views {
		codes[code(t, v)]++
		if err := w.Told(t, ids[i]).Check(); err != nil {
			t.Error(err)
		}
	}
	if codes[payment.CodeApproved] != 1 || codes[payment.CodeNoFunds] != crowd-1 {
		t.Errorf("response codes %v, want one %s and %d %s", codes, payment.CodeApproved, crowd-1, payment.CodeNoFunds)
	}
	w.Balanced(t, ids...)
}

// code reads the response code of the bank's decision.
func code(t *testing.T, v agent.View) string {
	t.Helper()
	objects := v.Objects[string(payment.KindAuthRes)]
	if len(objects) != 1 {
		t.Fatalf("%d decisions, want one", len(objects))
	}
	var a struct {
		Code string `json:"code"`
	}
	raw, err := base64.RawURLEncoding.DecodeString(strings.Split(objects[0], ".")[1])
	if err == nil {
		err = json.Unmarshal(raw, &a)
	}
	if err != nil {
		t.Fatal(err)
	}
	return a.Code
}

// A multiplier sends every POST many times at once and compares the replies.
type multiplier struct {
	next  http.RoundTripper
	times int

	mu   *sync.Mutex
	odd  *[]string      // replies that differ
	seen map[string]int // operations; guarded by mu
}

// RoundTrip implements http.RoundTripper.
func (m multiplier) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Method != http.MethodPost {
		return m.next.RoundTrip(r)
	}
	key := r.Header.Get("Idempotency-Key")
	replies := make([]*http.Response, m.times)
	bodies := make([][]byte, m.times)
	failed := together(m.times, func(i int) error {
		for {
			body, err := r.GetBody()
			if err != nil {
				return err
			}
			again := r.Clone(r.Context())
			again.Body = body
			if replies[i], err = m.next.RoundTrip(again); err != nil {
				return err
			}
			bodies[i], err = io.ReadAll(replies[i].Body)
			_ = replies[i].Body.Close()
			if err != nil || replies[i].StatusCode != http.StatusConflict || !bytes.Contains(bodies[i], []byte(problem.TypeBase+string(payment.InFlight))) {
				return err
			}
			time.Sleep(time.Duration(4*m.times) * time.Millisecond)
		}
	})
	m.mu.Lock()
	defer m.mu.Unlock()
	m.seen[strings.Join(strings.Split(key, "/")[1:], "/")]++
	for i := range replies {
		if failed[i] != nil || replies[i].StatusCode != http.StatusOK || !bytes.Equal(bodies[i], bodies[0]) {
			*m.odd = append(*m.odd, fmt.Sprintf("%s: %v, %.300s\nand %.300s", key, failed[i], bodies[i], bodies[0]))
		}
	}
	if err := errors.Join(failed...); err != nil {
		return nil, err
	}
	replies[0].Body = io.NopCloser(bytes.NewReader(bodies[0]))
	return replies[0], nil
}

func TestManyIdenticalRequestsHaveOneEffectAndOneReply(t *testing.T) {
	t.Parallel()
	times := crowd()
	if testing.Short() {
		times = 6 // each wave makes new connections
	}
	var mu sync.Mutex
	var odd []string
	seen := map[string]int{}
	opts := steady()
	opts.Calling = func(_ string, next http.RoundTripper) http.RoundTripper {
		return multiplier{next, times, &mu, &odd, seen}
	}
	w := paytest.New(t, opts)
	id := w.Buy(t, 2, consumer.Choice{})
	if v, err := w.Merchant.Ship(t.Context(), id); err != nil || v.State != payment.Closed {
		t.Errorf("shipped: %s, %v", v.State, err)
	}
	given := w.Buy(t, 1, consumer.Choice{Mode: payment.ConfirmNone, Route: consumer.Relay})
	if v, err := w.Merchant.Void(t.Context(), given, "out of stock"); err != nil || v.State != payment.Released {
		t.Errorf("voided: %s, %v", v.State, err)
	}
	if err := w.Consumer.Delivered(t.Context(), id, "all of it"); err != nil {
		t.Error(err)
	}
	mu.Lock()
	defer mu.Unlock()
	for _, text := range odd {
		t.Errorf("another reply: %s", text)
	}
	for _, operation := range []string{
		"link/1", "onboard/1", "order/1", "accept/1", "request/1", "instruction/1", "auth/1", "confirmation/1", "answer/1", "confirmed/1", "result/1",
		"capture/1", "transfer/1", "void/1", "delivered/1",
	} {
		if seen[operation] == 0 {
			t.Errorf("%s was not tried; those were: %v", operation, seen)
		}
	}
	w.Balanced(t, id, given)
}

func TestManyCapturesOfOnePartMoveMoneyOnce(t *testing.T) {
	t.Parallel()
	w := paytest.New(t, steady())
	id := w.Buy(t, 4, consumer.Choice{Mode: payment.ConfirmNone})
	part := money.New(30_000, "CNY")
	ship(t, w, id)
	failed := together(crowd(), func(int) error {
		_, err := w.Merchant.Capture(t.Context(), id, &part, false)
		return err
	})
	told := w.Told(t, id)
	won := count(failed) // a capture that began after another had ended is the next part
	if want := int64(won) * part.Minor; won < 1 || won > 4 || told.Hold.Captured.Minor != want || len(told.Gateway.Parts) != won {
		t.Errorf("%d captures went well, %v captured in %d parts", won, told.Hold.Captured, len(told.Gateway.Parts))
	}
	for _, err := range failed {
		if c := agent.CodeOf(err); err != nil && c != payment.Conflict && c != payment.BadState && c != payment.ExceedsAuthorised {
			t.Errorf("a capture that lost: %v", err)
		}
	}

	// The same number, by other bytes each, straight to the gateway.
	next := int64(won) + 1
	if won < 4 {
		ref := approval(t, w, id)
		failed = together(crowd(), func(int) error { return capture(t, w, id, ref, next) })
		if told := w.Told(t, id); count(failed) != 1 || told.Hold.Captured.Minor != next*part.Minor {
			t.Errorf("%d captures of one number went well and %v is captured, want one more", count(failed), told.Hold.Captured)
		}
	}
	w.Balanced(t, id)
}

// ship notes the delivery without capturing anything.
func ship(t *testing.T, w *paytest.World, id string) {
	t.Helper()
	err := w.Merchant.Write(t.Context(), func(tx *agent.Tx) error {
		s := map[string]any{}
		if err := tx.Get("sale/"+id, &s); err != nil {
			return err
		}
		s["shipped"] = time.Now()
		return tx.Put("sale/"+id, s)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// approval returns the digest of the approval of a payment.
func approval(t *testing.T, w *paytest.World, id string) string {
	t.Helper()
	objects := w.Told(t, id).Merchant.Objects[string(payment.KindAuthRes)]
	if len(objects) != 1 {
		t.Fatalf("%d approvals, want one", len(objects))
	}
	return payment.Object(objects[0]).Digest()
}

// capture signs a capture of one workstation and sends it to the gateway past the merchant's own records.
func capture(t *testing.T, w *paytest.World, id, ref string, seq int64) error {
	amount := money.New(30_000, "CNY")
	object, err := w.Merchant.Exchange(w.GW.URI).Sign(&payment.Capture{
		Head: payment.Head{ID: id, Audience: []string{w.GW.URI}, Amount: &amount, Ref: ref}, Seq: seq, Shipped: time.Now().Unix(),
	}, time.Hour)
	if err != nil {
		return err
	}
	return w.Merchant.Send(t.Context(), w.GW.URI, "/payments/"+id+"/capture", agent.Key(id, "capture", seq), agent.Message{payment.KindCapture: string(object)}, new(agent.Message))
}

// void does the same with a void.
func void(t *testing.T, w *paytest.World, id, ref string) error {
	object, err := w.Merchant.Exchange(w.GW.URI).Sign(&payment.Void{
		Head: payment.Head{ID: id, Audience: []string{w.GW.URI}, Ref: ref}, Reason: "out of stock",
	}, time.Hour)
	if err != nil {
		return err
	}
	return w.Merchant.Send(t.Context(), w.GW.URI, "/payments/"+id+"/void", agent.Key(id, "void", 1), agent.Message{payment.KindVoid: string(object)}, new(agent.Message))
}

func TestOfVoidAndCaptureExactlyOneWins(t *testing.T) {
	t.Parallel()
	w := paytest.New(t, steady())
	var ids []string
	for i := range rounds() {
		id := w.Buy(t, 1, consumer.Choice{Mode: payment.ConfirmNone})
		ids = append(ids, id)
		ref := approval(t, w, id)
		straight := i%2 == 1 // past the merchant's own records
		if !straight {
			ship(t, w, id)
		}
		failed := together(2, func(n int) error {
			var err error
			switch {
			case n == 0 && straight:
				err = void(t, w, id, ref)
			case n == 0:
				_, err = w.Merchant.Void(t.Context(), id, "out of stock")
			case straight:
				err = capture(t, w, id, ref, 1)
			default:
				_, err = w.Merchant.Capture(t.Context(), id, nil, true)
			}
			return err
		})
		hold := w.HoldOf(t, id)
		if want := map[bool]ledger.State{true: ledger.HoldVoided, false: ledger.HoldClosed}[failed[0] == nil]; count(failed) != 1 || hold.State != want {
			t.Errorf("void: %v, capture: %v; and the hold is %s", failed[0], failed[1], hold.State)
		}
		if err := w.Told(t, id).Check(); err != nil && !straight {
			t.Error(err)
		}
	}
	w.Balanced(t, ids...)
}

func TestAnAmendmentAndAnAcceptanceAtOnceAgreeOnOneOffer(t *testing.T) {
	t.Parallel()
	w := paytest.New(t, steady())
	var ids []string
	won := [2]int{}
	for range rounds() {
		offered, err := w.Consumer.Order(t.Context(), w.Shop.URI, w.Terms(1))
		if err != nil {
			t.Fatal(err)
		}
		id := offered.ID
		ids = append(ids, id)
		failed := together(2, func(n int) error {
			if n == 0 {
				_, err := w.Consumer.Amend(t.Context(), id, w.Terms(2))
				return err
			}
			_, err := w.Consumer.Accept(t.Context(), id, consumer.Choice{Mode: payment.ConfirmNone})
			return err
		})
		for n, err := range failed {
			if err == nil {
				won[n]++
			}
		}
		// Whatever came first, the consumer can go on from what it knows, and pays what the merchant offers.
		if failed[1] != nil {
			if _, err := w.Consumer.Refresh(t.Context(), id); err != nil {
				t.Fatal(err)
			}
			if _, err := w.Consumer.Accept(t.Context(), id, consumer.Choice{Mode: payment.ConfirmNone, Changed: true}); err != nil {
				t.Fatalf("after %v and %v: %v", failed[0], failed[1], err)
			}
		}
		v, err := w.Consumer.Pay(t.Context(), id)
		if err != nil || v.State != payment.Opened {
			t.Fatalf("paid: %s, %v", v.State, err)
		}
		told := w.Told(t, id)
		if err := told.Check(); err != nil {
			t.Error(err)
		}
		if told.Merchant.Amount != told.Consumer.Amount || told.Hold.Amount != told.Consumer.Amount {
			t.Errorf("the consumer pays %v, the merchant expects %v, and %v is held", told.Consumer.Amount, told.Merchant.Amount, told.Hold.Amount)
		}
	}
	t.Logf("%d amendments and %d acceptances went well", won[0], won[1])
	w.Balanced(t, ids...)
}
