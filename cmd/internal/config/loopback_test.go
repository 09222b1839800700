package config_test

import (
	"slices"
	"testing"

	"github.com/payca/payca/cmd/internal/config"
)

func TestALoopbackConfigurationIsValidAndItsPortsDiffer(t *testing.T) {
	t.Parallel()
	for range 50 {
		c, err := config.Loopback("pay.example")
		if err == nil {
			err = c.Validate()
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	ports, err := config.FreePorts(50)
	if slices.Sort(ports); err != nil || len(slices.Compact(ports)) != 50 {
		t.Errorf("got %v, %v, want 50 ports that differ", ports, err)
	}
}
