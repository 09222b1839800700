package paytest_test

import (
	"log/slog"
	"testing"

	"github.com/payca/payca/payment"
	"github.com/payca/payca/payment/agent/consumer"
	"github.com/payca/payca/payment/paytest"
)

func TestFlow(t *testing.T) {
	t.Parallel()
	for _, mode := range []payment.Mode{payment.ConfirmNone, payment.ConfirmRealtime} {
		for _, route := range []string{consumer.Direct, consumer.Relay} {
			t.Run(string(mode)+" "+route, func(t *testing.T) {
				t.Parallel()
				w := paytest.New(t, paytest.Options{Logger: slog.New(slog.NewTextHandler(t.Output(), nil))})
				id := w.Buy(t, 40, consumer.Choice{Mode: mode, Route: route})
				v, err := w.Merchant.Ship(t.Context(), id)
				if err != nil {
					t.Fatal(err)
				}
				if v.State != payment.Closed {
					t.Errorf("after the capture: %s, want closed", v.State)
				}
			})
		}
	}
}
