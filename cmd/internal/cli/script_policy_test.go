package cli_test

import (
	"os"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
)

// putPolicy runs "put-policy FILE POLICY": the policy of the configuration FILE, which has none, is POLICY.
func putPolicy(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: put-policy FILE POLICY")
	}
	text := ts.ReadFile(args[0])
	for _, empty := range []string{"profiles: []\n", "rules: []\n", "approvals:\n  approvers: []\n", "endpoints: []\n"} {
		before := text
		if text = strings.Replace(text, "\n"+empty, "\n", 1); text == before {
			ts.Fatalf("%s has no %q", args[0], empty)
		}
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(text+ts.ReadFile(args[1])), 0o600))
}
