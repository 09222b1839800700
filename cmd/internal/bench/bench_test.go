package bench_test

import (
	"context"
	"os"
	"strings"
	"testing"

	"github.com/payca/payca/cmd/internal/bench"
)

// envLoad makes a child of the test the process that loads a server.
const envLoad = "PAYCA_TEST_BENCH_LOAD"

func TestMain(m *testing.M) {
	if os.Getenv(envLoad) != "" {
		if err := bench.Load(context.Background(), os.Stdin, os.Stdout); err != nil {
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func TestEveryCaseMeasures(t *testing.T) {
	t.Setenv(envLoad, "1")
	report, err := bench.Run(t.Context(), bench.Config{
		Certificates: 300, Pairs: 2, Scale: 0.02, Dir: t.TempDir(), Loader: []string{os.Args[0]}, Progress: t.Logf,
	})
	if err != nil {
		t.Fatal(err)
	}
	figures := map[string]float64{}
	for _, result := range report.Results {
		if result.About == "" || len(result.Figures) == 0 {
			t.Errorf("case %s has no figures", result.Case)
		}
		for _, f := range result.Figures {
			figures[result.Case+": "+f.Name] = f.Value
			if f.Unit == "" || f.AtMost > 0 && f.Missed != (f.Value > f.AtMost) {
				t.Errorf("figure %+v", f)
			}
		}
	}
	if len(report.Results) != len(bench.Names()) || report.Cores == 0 || report.Go == "" {
		t.Errorf("got %+v, want all cases", report)
	}
	for _, name := range []string{
		"decide: a decision with two rules in CEL, CPU", "decide: the lints of one certificate, CPU",
		"issue: CPU over the floor", "issue: issuances", "issue: issuances of step-ca", "issue: issuances with a token over those of step-ca",
		"issue: issuances with a token over those of step-ca, large store", "enroll: enrollment, median", "enroll: token enrollments over HTTPS", "enroll: token enrollments over those of step-ca",
		"enroll: token enrollments of as many new parties over those of step-ca", "decide: the lints of another like it, CPU",
		"status: CRL of a million over that of crypto/x509", "status: ten million statuses, memory", "status: revoking where so many are revoked",
		"ocsp: a bare handler that signs, over the same", "payments: warm, bare exchanges and commits, CPU",
		"ocsp: cached POST over bare", "ocsp: live, CPU",
		"handshake: both ends without status, CPU", "handshake: with stapled status, over without", "handshake: status again for each request, CPU", "payments: warm, CPU over the floor", "payments: durable, exchanges", "store: file, of each certificate", "store: finding by serial, 99th percentile", "store: verifying the log",
	} {
		if figures[name] <= 0 {
			t.Errorf("%s is %v, want it measured", name, figures[name])
		}
	}
	if missed := report.Missed(); len(missed) > 0 {
		t.Logf("missed here, where little is measured: %s", strings.Join(missed, "; "))
	}
}

func TestRunRefuses(t *testing.T) {
	t.Parallel()
	if _, err := bench.Run(t.Context(), bench.Config{Cases: []string{"speed"}}); err == nil || !strings.Contains(err.Error(), "issue, enroll, ocsp") {
		t.Errorf("an unknown case: got %v, want the names", err)
	}
	if _, err := bench.Run(t.Context(), bench.Config{Cases: []string{"ocsp"}, Dir: t.TempDir(), Pairs: 1, Scale: 0.01}); err == nil {
		t.Error("no loader: got nil, want an error")
	}
}

func TestLoadSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"GET": "want METHOD URL COUNT BODY", "GET http://127.0.0.1:1/ 0 -": "want a number", "POST http://127.0.0.1:1/ 1 %": "illegal base64",
		"GET http://127.0.0.1:1/ 1 -": "connection refused",
	} {
		var out strings.Builder
		if err := bench.Load(t.Context(), strings.NewReader(in+"\n"), &out); err != nil || !strings.Contains(out.String(), want) {
			t.Errorf("%s: got %q, %v, want %q", in, out.String(), err, want)
		}
	}
}
