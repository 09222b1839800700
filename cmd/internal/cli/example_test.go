package cli_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/payca/payca/cmd/internal/cli"
)

// elsewhere names the script that runs the example of a command which needs
// more than a directory with files: it must hold the example to the letter.
var elsewhere = map[string]string{
	"payca init": "network.txtar", "payca serve": "network.txtar", "payca enroll": "network.txtar", "payca renew": "renew.txtar",
	"payca revoke": "network.txtar", "payca hold": "network.txtar", "payca release": "network.txtar",
	"payca export status": "network.txtar", "payca export pkcs12": "client.txtar", "payca export truststore": "client.txtar", "payca export pem": "client.txtar", "payca ceremony crl": "network.txtar", "payca status": "network.txtar", "payca verify": "network.txtar",
	"payca party add": "network.txtar", "payca party list": "network.txtar", "payca party show": "network.txtar",
	"payca token create": "network.txtar", "payca token list": "network.txtar", "payca token cancel": "network.txtar", "payca cert list": "network.txtar", "payca cert show": "network.txtar", "payca cert findings": "keys.txtar", "payca cert recheck": "keys.txtar",
	"payca key block": "keys.txtar", "payca key unblock": "keys.txtar", "payca key list": "keys.txtar", "payca report expiring": "network.txtar", "payca report pci": "network.txtar",
	"payca audit list": "network.txtar", "payca audit verify": "audit.txtar", "payca audit export": "audit.txtar",
	"payca audit prove": "audit.txtar", "payca audit verify-proof": "audit.txtar", "payca audit witness": "audit.txtar", "payca demo": "demo.txtar",

	"payca party suspend": "approval.txtar", "payca party resume": "approval.txtar", "payca party close": "approval.txtar",
	"payca request list": "approval.txtar", "payca request show": "approval.txtar", "payca request approve": "approval.txtar",
	"payca request reject": "approval.txtar", "payca request propose": "approval.txtar",
	"payca policy show": "policy.txtar", "payca policy explain": "policy.txtar",
	"payca backup": "backup.txtar", "payca restore": "backup.txtar", "payca recover": "backup.txtar",

	"payca agent": "agents.txtar", "payca agent invite": "agents.txtar", "payca trace": "agents.txtar",
	"payca pay link": "agents.txtar", "payca pay catalogue": "agents.txtar", "payca pay order": "agents.txtar", "payca pay amend": "agents.txtar",
	"payca pay refresh": "agents.txtar", "payca pay accept": "agents.txtar", "payca pay send": "agents.txtar", "payca pay confirm": "agents.txtar",
	"payca pay delivered": "agents.txtar", "payca pay show": "agents.txtar", "payca pay balance": "agents.txtar",
	"payca sell onboard": "agents.txtar", "payca sell list": "agents.txtar", "payca sell show": "agents.txtar", "payca sell revise": "agents.txtar",
	"payca sell ship": "agents.txtar", "payca sell capture": "agents.txtar", "payca sell void": "agents.txtar", "payca sell balance": "agents.txtar",
}

// scripts is where the scripts are.
var scripts = filepath.Join("..", "..", "..", "testdata", "script")

// runElsewhere says whether the named script runs the example.
func runElsewhere(t *testing.T, script, example string) bool {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(scripts, script))
	if err != nil {
		t.Fatal(err)
	}
	command, _, _ := strings.Cut(example, " <")
	return strings.Contains(string(text), "exec "+command)
}

// commands lists every command below path that is not made by cobra.
func commands(t *testing.T, path []string) [][]string {
	t.Helper()
	_, help, _ := run(t, nil, append([]string{"help"}, path...)...)
	_, list, nested := strings.Cut(help, "Available Commands:\n")
	if !nested {
		return [][]string{path}
	}
	var all [][]string
	for line := range strings.Lines(list) {
		name, _, _ := strings.Cut(strings.TrimSpace(line), " ")
		if name == "" {
			break
		}
		if name != "help" && name != "completion" {
			all = append(all, commands(t, append(path[:len(path):len(path)], name))...)
		}
	}
	return all
}

func TestEveryCommandHasAnExampleThatRuns(t *testing.T) {
	files := pki(t)
	var err error
	if scripts, err = filepath.Abs(scripts); err != nil {
		t.Fatal(err)
	}
	t.Chdir(t.TempDir())
	_, defaults, _ := run(t, nil, "config", "show", "--defaults")
	for name, data := range map[string][]byte{"cert.pem": files["shop1.pem"], "payca.yaml": []byte(defaults)} {
		if err := os.WriteFile(name, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	example := regexp.MustCompile(`(?m)^Examples:\n((?:  payca .*\n)+)`)
	all := commands(t, nil)
	if len(all) < 4 {
		t.Fatalf("got %d commands, want at least 4", len(all))
	}
	for _, path := range all {
		name := "payca " + strings.Join(path, " ")
		_, help, _ := run(t, nil, append([]string{"help"}, path...)...)
		found := example.FindStringSubmatch(help)
		if found == nil {
			t.Errorf("%s: got no example in its help", name)
			continue
		}
		for line := range strings.Lines(found[1]) {
			line = strings.TrimSpace(line)
			if !strings.HasPrefix(line, name) {
				t.Errorf("%s: got example %q, want one of this command", name, line)
			}
			if script := elsewhere[name]; script != "" {
				if !runElsewhere(t, script, line) {
					t.Errorf("%s: %s does not run it", line, script)
				}
				continue
			}
			if code, _, stderr := run(t, nil, strings.Fields(line)[1:]...); code != cli.ExitDone {
				t.Errorf("%s: got exit code %d, %s", line, code, stderr)
			}
		}
	}
}
