package mtls_test

import (
	"testing"

	"github.com/payca/payca/enroll"
	"github.com/payca/payca/enroll/internal/testca"
	"github.com/payca/payca/enroll/mtls"
)

// exampleTB lets examples use the test CA, which reports through a testing.TB.
type exampleTB struct{ testing.TB }

func (exampleTB) Helper()           {}
func (exampleTB) Fatal(args ...any) { panic(args) }

// members returns a gateway and a merchant of one network, for the examples.
func members() (gateway, shop *enroll.Source, status mtls.StatusChecker) {
	var t exampleTB
	ca := testca.New(t)
	return ca.Source(t, gw1), ca.Source(t, shop1), &testca.Status{}
}
