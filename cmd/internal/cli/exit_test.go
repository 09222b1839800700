package cli_test

import (
	"context"
	"errors"
	"testing"

	"github.com/payca/payca/cmd/internal/cli"
)

func TestAnErrorWithoutACodeIsAFailure(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		err  error
		want int
	}{
		{nil, cli.ExitDone},
		{errors.New("any"), cli.ExitFailure},
		{context.Canceled, cli.ExitFailure},
	} {
		if got := cli.Code(tt.err); got != tt.want {
			t.Errorf("%v: got %d, want %d", tt.err, got, tt.want)
		}
	}
}
