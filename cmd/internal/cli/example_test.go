package cli_test

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/payca/payca/cmd/internal/cli"
)

// elsewhere says where the example of a command is run that needs more than a directory with files.
var elsewhere = map[string]string{}

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
	t.Chdir(t.TempDir())
	_, defaults, _ := run(t, nil, "config", "show", "--defaults")
	for name, data := range map[string][]byte{"cert.pem": files["shop1.pem"], "config.yaml": []byte(defaults)} {
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
			if elsewhere[name] != "" {
				continue
			}
			if code, _, stderr := run(t, nil, strings.Fields(line)[1:]...); code != cli.ExitDone {
				t.Errorf("%s: got exit code %d, %s", line, code, stderr)
			}
		}
	}
}
