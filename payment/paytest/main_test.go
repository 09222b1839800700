package paytest_test

import (
	"context"
	"flag"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/payca/payca/payment"
	"github.com/payca/payca/payment/agent"
	"github.com/payca/payca/payment/agent/consumer"
	"github.com/payca/payca/payment/agent/merchant"
	"github.com/payca/payca/payment/paytest"
)

func TestMain(m *testing.M) {
	paytest.RunChild() // does not return in a child process
	flag.Parse()
	parallel := "4" // most tests wait most of the time
	if !testing.Short() {
		parallel = "1" // and the long forms keep both processors busy
	}
	if err := flag.Set("test.parallel", parallel); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

// quick are options for tests in which calls fail.
func quick() paytest.Options {
	return paytest.Options{Status: paytest.Good, NoSync: true, Timeout: 2 * time.Second, Deadline: 30 * time.Second}
}

// pause is between two attempts of a patient party.
const pause = 30 * time.Millisecond

// patience is how long one payment may take, whatever happens to it.
const patience = time.Minute

// buy has consumer and merchant try until the payment of n workstations has ended, whoever is down meanwhile: all
// by the operators' sockets, so that any of the agents may be another process. It returns the id.
func buy(ctx context.Context, w *paytest.World, n int64, choice consumer.Choice) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	b := buyer{w: w, terms: w.Terms(n), choice: choice}
	for {
		done, err := b.step(ctx)
		if done {
			return b.id, nil
		}
		if err == nil {
			continue
		}
		select {
		case <-ctx.Done():
			return b.id, fmt.Errorf("payment %s has not ended: %w", b.id, err)
		case <-time.After(pause):
		}
	}
}

// A buyer remembers what it need not do again.
type buyer struct {
	w                   *paytest.World
	terms               payment.Terms
	choice              consumer.Choice
	id                  string
	accepted, confirmed bool
}

func (b *buyer) step(ctx context.Context) (done bool, err error) {
	school, shop := b.w.School, b.w.Shop
	switch {
	case b.id == "":
		var offered consumer.Offered
		err := school.Control(ctx, "/order", consumer.OrderRequest{Merchant: shop.URI, Terms: b.terms}, &offered)
		b.id = offered.ID
		return false, err
	case !b.accepted:
		err := school.Control(ctx, "/accept", consumer.AcceptRequest{ID: b.id, Choice: b.choice}, new(agent.View))
		b.accepted = err == nil
		if err == nil || agent.CodeOf(err) == payment.Unavailable {
			return false, err
		}
	}
	var sale agent.View
	if err := shop.Control(ctx, "/show", merchant.Target{ID: b.id}, &sale); err != nil {
		return false, err
	}
	if sale.State.Final() {
		err := school.Control(ctx, "/await", consumer.WaitRequest{ID: b.id}, &sale)
		return err == nil, err
	}
	if sale.State == payment.Opened {
		return false, shop.Control(ctx, "/ship", merchant.Target{ID: b.id}, &sale)
	}
	var v agent.View
	if err := school.Control(ctx, "/pay", consumer.Target{ID: b.id}, &v); err != nil {
		return false, err
	}
	if v.State == payment.Authorized && b.choice.Mode != payment.ConfirmNone && !b.confirmed {
		err := school.Control(ctx, "/confirm", consumer.WaitRequest{ID: b.id}, new(consumer.Answered))
		b.confirmed = err == nil
		return false, err
	}
	return false, fmt.Errorf("the merchant says %s, the gateway %s", sale.State, v.State)
}
