package paytest_test

import (
	"errors"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/payca/payca/payment"
	"github.com/payca/payca/payment/agent"
	"github.com/payca/payca/payment/agent/consumer"
	"github.com/payca/payca/payment/ledger"
	"github.com/payca/payca/payment/paytest"
)

// impatient are options for tests in which somebody never answers.
func impatient() paytest.Options {
	opts := paytest.Options{Status: paytest.Good, NoSync: true, Timeout: time.Second, Deadline: 1200 * time.Millisecond}
	if !testing.Short() {
		opts.Timeout, opts.Deadline = 3*time.Second, 4*time.Second
	}
	return opts
}

// authorisation collects what the gateway sent to the banks.
func authorisation(t *testing.T, w *paytest.World, id string) agent.Message {
	t.Helper()
	msg := agent.Message{}
	err := w.Gateway.Read(func(tx *agent.Tx) error {
		records, err := tx.Records(id)
		for _, r := range records {
			if r.Kind == payment.KindAuth || r.Kind == payment.KindDual || r.Kind == payment.KindInstruction && r.Direction == agent.Made {
				msg[r.Kind] = r.Object
			}
		}
		return err
	})
	if err != nil || len(msg) != 3 {
		t.Fatalf("%d objects of the authorisation, %v", len(msg), err)
	}
	return msg
}

func TestAnIssuingBankThatDoesNotAnswerIsReversed(t *testing.T) {
	t.Parallel()
	network := &proxies{t: t}
	opts := impatient()
	opts.Dial = network.dial
	w := paytest.New(t, opts)
	bank := network.between("abank", "ibank")
	var ids []string
	for _, c := range []struct {
		name string
		mode int32
		late payment.Code // what a late authorisation is answered; "" for the reply of then
	}{
		{"because the request got lost", swallow, payment.BadState},
		{"because the approval got lost", mute, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			id := w.Accepted(t, 2, consumer.Choice{Mode: payment.ConfirmNone})
			ids = append(ids, id)
			bank.mode.Store(c.mode)
			_, err := w.Consumer.Pay(t.Context(), id)
			named := err != nil && strings.Contains(err.Error(), w.IBank.URI) || testing.Short() // on a busy machine a second is too little
			if agent.CodeOf(err) != payment.Unavailable || !named {
				t.Errorf("paying: %v, want %s of %s", err, payment.Unavailable, w.IBank.URI)
			}
			if c.mode == mute {
				until(t, "the approval is made", func() bool { return w.HoldOf(t, id).State != "" })
			}
			until(t, "the gateway gives up", func() bool { return w.Told(t, id).Gateway.State == payment.Reversing })
			bank.mode.Store(pass)
			until(t, "nothing is held", func() bool { return w.HoldOf(t, id).State == ledger.HoldVoided })

			err = w.Acquirer.Send(t.Context(), w.IBank.URI, "/authorizations", agent.Key(id, "auth", 1), authorisation(t, w, id), new(agent.Message))
			if agent.CodeOf(err) != c.late {
				t.Errorf("a late authorisation: %v, want code %q", err, c.late)
			}
			if hold := w.HoldOf(t, id); hold.State != ledger.HoldVoided || hold.Captured.Minor != 0 {
				t.Errorf("after the late authorisation: %+v, want voided", hold)
			}
			until(t, "the merchant is told", func() bool { return w.Told(t, id).Merchant.State == payment.Released })
			for who, ask := range map[string]func() (agent.View, error){
				"merchant": func() (agent.View, error) { return w.Consumer.Await(t.Context(), id, time.Second) },
				"gateway":  func() (agent.View, error) { return w.Consumer.Pay(t.Context(), id) },
			} {
				until(t, "the consumer is told by the "+who, func() bool {
					v, err := ask()
					return err == nil && v.State == payment.Released
				})
			}
			if err := w.Told(t, id).Check(); err != nil {
				t.Error(err)
			}
			w.Balanced(t, ids...)
		})
	}
	// And the bank takes new payments.
	ids = append(ids, w.Buy(t, 1, consumer.Choice{Mode: payment.ConfirmNone}))
	w.Balanced(t, ids...)
}

func TestAFullDiskRefusesNewWorkAndLeavesNothingHalfDone(t *testing.T) {
	t.Parallel()
	var full atomic.Value
	full.Store("")
	opts := quick()
	opts.Commit = func(node string) error {
		if full.Load() == node {
			return syscall.ENOSPC
		}
		return nil
	}
	w := paytest.New(t, opts)
	var ids []string

	id := w.Accepted(t, 2, consumer.Choice{Mode: payment.ConfirmNone})
	ids = append(ids, id)
	full.Store("ibank")
	for range 3 {
		if _, err := w.Consumer.Pay(t.Context(), id); agent.CodeOf(err) != payment.Unavailable {
			t.Errorf("while the bank's disk is full: %v, want %s", err, payment.Unavailable)
		}
	}
	nothingKept(t, w, id)
	full.Store("")
	until(t, "it is paid once there is room", func() bool {
		v, err := w.Consumer.Pay(t.Context(), id)
		return err == nil && v.State == payment.Opened
	})

	nodes := w.Nodes()
	if testing.Short() {
		nodes = []*paytest.Node{w.GW, w.IBank, w.K}
	}
	for _, node := range nodes {
		t.Run(node.ID, func(t *testing.T) {
			full.Store(node.ID)
			go func() {
				time.Sleep(250 * time.Millisecond)
				full.Store("")
			}()
			id, err := buy(t.Context(), w, 1, consumer.Choice{})
			if err != nil {
				t.Fatal(err)
			}
			ids = append(ids, id)
			if told := w.Told(t, id); told.Check() != nil || told.Gateway.State != payment.Closed {
				t.Errorf("the payment ended %s: %v", told.Gateway.State, told.Check())
			}
			w.Balanced(t, ids...)
		})
	}
}

// nothingKept checks that the issuing bank has neither hold nor records of a payment.
func nothingKept(t *testing.T, w *paytest.World, id string) {
	t.Helper()
	if hold := w.HoldOf(t, id); hold.State != "" {
		t.Errorf("held: %+v", hold)
	}
	err := w.Issuer.Read(func(tx *agent.Tx) error {
		records, err := tx.Records(id)
		if err == nil && len(records) != 0 {
			err = errors.New("records of a payment that was not kept")
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

func TestAConfirmerThatIsDownIsToldLater(t *testing.T) {
	t.Parallel()
	w := paytest.New(t, quick())
	id := w.Accepted(t, 2, consumer.Choice{})
	w.K.Stop(t)
	until(t, "it is authorised without the confirmer", func() bool {
		v, err := w.Consumer.Pay(t.Context(), id)
		return err == nil && v.State == payment.Authorized
	})
	if _, err := w.Consumer.Confirm(t.Context(), id, 0); agent.CodeOf(err) != payment.Unavailable || !strings.Contains(err.Error(), w.K.URI) {
		t.Errorf("confirming: %v, want %s of %s", err, payment.Unavailable, w.K.URI)
	}
	if hold := w.HoldOf(t, id); hold.State != ledger.HoldOpen {
		t.Errorf("the hold is %s, want open", hold.State)
	}
	w.K.Start(t)
	until(t, "the confirmer asks", func() bool {
		_, err := w.Consumer.Confirm(t.Context(), id, time.Second)
		return err == nil
	})
	until(t, "the merchant may deliver", func() bool { return w.Told(t, id).Merchant.State == payment.Opened })
	w.Balanced(t, id)
}

func TestAHoldThatNobodyConfirmsIsReleased(t *testing.T) {
	t.Parallel()
	opts := quick()
	opts.HoldLife = 3 * time.Second
	w := paytest.New(t, opts)
	id := w.Accepted(t, 2, consumer.Choice{})
	w.K.Stop(t)
	until(t, "it is authorised without the confirmer", func() bool {
		v, err := w.Consumer.Pay(t.Context(), id)
		return err == nil && v.State == payment.Authorized
	})
	until(t, "the hold is released", func() bool { return w.HoldOf(t, id).State == ledger.HoldVoided })
	until(t, "the merchant is told", func() bool { return w.Told(t, id).Merchant.State == payment.Released })
	until(t, "the consumer is told", func() bool {
		v, err := w.Consumer.Await(t.Context(), id, 0)
		return err == nil && v.State == payment.Released
	})
	w.K.Start(t)
	w.Balanced(t, id)
}

func TestAMerchantWhoseHoldExpiresIsTold(t *testing.T) {
	t.Parallel()
	opts := quick()
	opts.HoldLife = 3 * time.Second
	w := paytest.New(t, opts)
	id := w.Buy(t, 2, consumer.Choice{Mode: payment.ConfirmNone})
	until(t, "the hold is released", func() bool { return w.HoldOf(t, id).State == ledger.HoldVoided })
	until(t, "the merchant is told", func() bool { return w.Told(t, id).Merchant.State == payment.Released })
	if _, err := w.Merchant.Ship(t.Context(), id); agent.CodeOf(err) != payment.BadState {
		t.Errorf("shipping without a hold: %v, want %s", err, payment.BadState)
	}
	w.Balanced(t, id)
}

func TestAMerchantThatIsDownGetsTheResultLater(t *testing.T) {
	t.Parallel()
	w := paytest.New(t, quick())
	id := w.Accepted(t, 2, consumer.Choice{})
	w.Shop.Stop(t)
	until(t, "it is authorised without the merchant", func() bool {
		v, err := w.Consumer.Pay(t.Context(), id)
		return err == nil && v.State == payment.Authorized
	})
	until(t, "the confirmation counts", func() bool {
		a, err := w.Consumer.Confirm(t.Context(), id, time.Second)
		return err == nil && a.Result == payment.ConfirmedResult
	})
	w.Shop.Start(t)
	until(t, "the merchant may deliver", func() bool { return w.Told(t, id).Merchant.State == payment.Opened })
	until(t, "it is captured", func() bool {
		v, err := w.Merchant.Ship(t.Context(), id)
		return err == nil && v.State == payment.Closed
	})
	w.Balanced(t, id)
}

func TestAnAgentThatIsDownIsNamedAndNothingIsLost(t *testing.T) {
	t.Parallel()
	w := paytest.New(t, quick())
	var ids []string
	for _, c := range []struct {
		node *paytest.Node
		try  func(t *testing.T, id string) error
	}{
		{w.GW, func(t *testing.T, id string) error {
			_, err := w.Consumer.Accept(t.Context(), id, consumer.Choice{})
			return err
		}},
		{w.GW, func(t *testing.T, id string) error {
			_, err := w.Consumer.Accept(t.Context(), id, consumer.Choice{Route: consumer.Relay})
			return err
		}},
		{w.ABank, accepted(w)},
		{w.IBank, accepted(w)},
	} {
		t.Run(c.node.ID, func(t *testing.T) {
			var offered *consumer.Offered
			until(t, "there is an offer", func() (ok bool) {
				var err error
				offered, err = w.Consumer.Order(t.Context(), w.Shop.URI, w.Terms(1))
				return err == nil
			})
			c.node.Stop(t)
			err := c.try(t, offered.ID)
			c.node.Start(t)
			if agent.CodeOf(err) != payment.Unavailable || !strings.Contains(err.Error(), c.node.URI) {
				t.Errorf("without %s: %v, want %s that names it", c.node.ID, err, payment.Unavailable)
			}
			if err != nil && strings.Contains(err.Error(), "127.0.0.1") {
				t.Errorf("the refusal tells an address: %v", err)
			}
			again := &buyer{w: w, id: offered.ID}
			until(t, "it is paid", func() bool { done, _ := again.step(t.Context()); return done })
			ids = append(ids, offered.ID)
			if err := w.Told(t, offered.ID).Check(); err != nil {
				t.Error(err)
			}
		})
	}
	w.Shop.Stop(t)
	_, err := w.Consumer.Order(t.Context(), w.Shop.URI, w.Terms(1))
	if agent.CodeOf(err) != payment.Unavailable || !strings.Contains(err.Error(), w.Shop.URI) {
		t.Errorf("without the merchant: %v, want %s that names it", err, payment.Unavailable)
	}
	w.Shop.Start(t)
	w.Balanced(t, ids...)
}

// accepted pays for what the merchant and gateway know already.
func accepted(w *paytest.World) func(t *testing.T, id string) error {
	return func(t *testing.T, id string) error {
		until(t, "it is accepted", func() bool {
			_, err := w.Consumer.Accept(t.Context(), id, consumer.Choice{})
			return err == nil
		})
		_, err := w.Consumer.Pay(t.Context(), id)
		return err
	}
}
