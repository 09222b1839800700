package cli_test

import (
	"errors"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/payca/payca/cmd/internal/cli"
)

// update rewrites the golden files within the scripts: go test ./cmd/internal/cli -update.
var update = flag.Bool("update", false, "rewrite the golden files of the scripts")

// TestMain lets scripts, and the console blocks of the README, run this program as payca.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"payca": func() { os.Exit(cli.Main()) }})
}

// TestScripts runs testdata/script/*.txtar. A script finds the fixed certificates in $PKI and
// the networks in $NETWORKS; "code N COMMAND" runs a command that must end with exit code N.
func TestScripts(t *testing.T) {
	t.Parallel()
	root, err := filepath.Abs(filepath.Join("..", "..", "..", "testdata"))
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir:                 filepath.Join(root, "script"),
		UpdateScripts:       *update,
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(env *testscript.Env) error {
			env.Setenv("HOME", env.WorkDir)
			env.Setenv("PKI", filepath.Join(root, "pki"))
			env.Setenv("NETWORKS", filepath.Join(root, "networks"))
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"code": code},
	})
}

// code runs "code N payca ARGS...": the command must end with exit code N.
func code(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: code N COMMAND [ARG...]")
	}
	err := ts.Exec(args[1], args[2:]...)
	got := 0
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		got = exit.ExitCode()
	} else if err != nil {
		ts.Fatalf("%v", err)
	}
	if strconv.Itoa(got) != args[0] {
		ts.Fatalf("got exit code %d, want %s", got, args[0])
	}
}
