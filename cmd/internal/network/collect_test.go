package network_test

import (
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/payca/payca/ca"
	"github.com/payca/payca/cmd/internal/api"
	"github.com/payca/payca/policy"
)

func TestATokenIsDeletedADayAfterItsEnd(t *testing.T) {
	t.Parallel()
	var late atomic.Int64
	r := startAt(t, func() time.Time { return time.Now().Add(time.Duration(late.Load())) })
	_, err := r.operator.AddParty(t.Context(), policy.Party{ID: "shop1", Name: "Acme", Role: policy.Merchant, DNSNames: []string{"shop.example.test"}})
	must(t, err)
	token, err := r.operator.CreateToken(t.Context(), api.TokenRequest{Party: "shop1"})
	must(t, err)
	for _, tt := range []struct {
		after time.Duration
		want  error
	}{{0, nil}, {24 * time.Hour, nil}, {25*time.Hour + 2*time.Second, ca.ErrNotFound}} {
		late.Store(int64(tt.after))
		must(t, r.network.CollectTokens(t.Context()))
		if _, err := r.network.Token(t.Context(), token.ID); !errors.Is(err, tt.want) {
			t.Errorf("%v after it was made: got %v, want %v", tt.after, err, tt.want)
		}
	}
}
