package cli_test

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/payca/payca/cmd/internal/cli"
	"github.com/payca/payca/cmd/internal/config"
	"github.com/payca/payca/payment/agent"
)

// update rewrites the golden files within the scripts: go test ./cmd/internal/cli -update.
var update = flag.Bool("update", false, "rewrite the golden files of the scripts")

// TestMain lets scripts, and the console blocks of the README, run this program as payca.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"payca": func() { os.Exit(cli.Main()) }})
}

// TestScripts runs testdata/script/*.txtar. A script finds the fixed certificates in $PKI and
// the networks in $NETWORKS, orders in $ORDERS, and free ports in $HTTPS, $HTTP and $NODE; "code N COMMAND" runs a command that must end with exit code N.
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
			env.Setenv("REPO", filepath.Dir(root))
			env.Setenv("PKI", filepath.Join(root, "pki"))
			env.Setenv("NETWORKS", filepath.Join(root, "networks"))
			env.Setenv("ORDERS", filepath.Join(root, "orders"))
			return freePorts(env)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"code": code, "ready": ready, "ready-network": readyNetwork, "fields": fields, "ready-agent": readyAgent, "objects": objects, "change": change, "cut": cut,
			"webhook": webhook, "until": until, "put-policy": putPolicy,
			"recipe": recipe, "go-build": goBuild,
		},
		Condition: func(cond string) (bool, error) {
			switch cond {
			case "required": // what a script needs beyond Go must be there
				return os.Getenv("PAYCA_REQUIRE_TOOLS") != "", nil
			case "short":
				return testing.Short(), nil
			}
			return false, fmt.Errorf("condition %q", cond)
		},
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

// freePorts finds three ports that nobody listens on.
func freePorts(env *testscript.Env) error {
	ports, err := config.FreePorts(3)
	if err != nil {
		return err
	}
	for i, name := range []string{"HTTPS", "HTTP", "NODE"} {
		env.Setenv(name, ports[i])
	}
	return nil
}

// ready runs "ready PORT": it waits until something answers on the loopback port.
func ready(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: ready PORT")
	}
	for range 200 {
		conn, err := net.Dial("tcp", net.JoinHostPort("127.0.0.1", args[0]))
		if err == nil {
			_ = conn.Close()
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	ts.Fatalf("nothing answers on port %s after 10 s", args[0])
}

// readyNetwork runs "ready-network DIR": it waits until the network in the directory answers.
func readyNetwork(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: ready-network DIR")
	}
	conf, err := config.Load(filepath.Join(ts.MkAbs(args[0]), config.FileName))
	ts.Check(err)
	_, port, err := net.SplitHostPort(conf.Listen.HTTPS)
	ts.Check(err)
	ready(ts, false, []string{port})
}

// readyAgent runs "ready-agent FILE": it waits until the agent of that configuration answers.
func readyAgent(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: ready-agent FILE")
	}
	conf, err := config.LoadAgent(ts.MkAbs(args[0]))
	ts.Check(err)
	_, port, err := net.SplitHostPort(conf.Listen)
	ts.Check(err)
	ready(ts, false, []string{port})
}

// objects runs "objects VIEW KIND FILE": it writes the newest object of a kind in the JSON of a payment to a file.
func objects(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: objects VIEW KIND FILE")
	}
	var view agent.View
	ts.Check(json.Unmarshal([]byte(ts.ReadFile(args[0])), &view))
	list := view.Objects[args[1]]
	if len(list) == 0 {
		ts.Fatalf("no %s in %s", args[1], args[0])
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[2]), []byte(list[len(list)-1]), 0o600))
}

// fields runs "fields VAR FILE N": it puts the Nth word of the file, from 0, into VAR.
func fields(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: fields VAR FILE N")
	}
	words := strings.Fields(ts.ReadFile(args[1]))
	n, err := strconv.Atoi(args[2])
	if err != nil || n >= len(words) {
		ts.Fatalf("word %s of %d", args[2], len(words))
	}
	ts.Setenv(args[0], words[n])
}

// change runs "change FROM TO OLD NEW": TO is FROM with the first OLD replaced.
func change(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 4 {
		ts.Fatalf("usage: change FROM TO OLD NEW")
	}
	before := ts.ReadFile(args[0])
	after := strings.Replace(before, args[2], args[3], 1)
	if after == before {
		ts.Fatalf("%s has no %q", args[0], args[2])
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), []byte(after), 0o600))
}

// cut runs "cut FROM TO N": TO is FROM without its line N, from 0.
func cut(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: cut FROM TO N")
	}
	lines := strings.SplitAfter(ts.ReadFile(args[0]), "\n")
	n, err := strconv.Atoi(args[2])
	if err != nil || n >= len(lines) {
		ts.Fatalf("line %s of %d", args[2], len(lines))
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), []byte(strings.Join(slices.Delete(lines, n, n+1), "")), 0o600))
}
