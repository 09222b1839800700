package cli_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/payca/payca/ca/catest"
	"github.com/payca/payca/cmd/internal/cli"
)

// program is where the units expect payca.
const program = "/usr/local/bin/payca"

// TestTheSystemdUnitsAreTaken has systemd read docs/systemd, and payca the command lines in it.
func TestTheSystemdUnitsAreTaken(t *testing.T) {
	t.Parallel()
	units, err := filepath.Glob(filepath.Join("..", "..", "..", "docs", "systemd", "*.service"))
	if err != nil || len(units) < 2 {
		t.Fatalf("got units %v, %v, want two at least", units, err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range units {
		t.Run(filepath.Base(path), func(t *testing.T) {
			t.Parallel()
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			dir, commands := t.TempDir(), 0
			for line := range strings.Lines(string(text)) {
				command, ok := strings.CutPrefix(strings.TrimLeft(line, "# "), "ExecStart=")
				if command = strings.TrimPrefix(strings.TrimSpace(command), "+"); !ok || command == "" {
					continue
				}
				commands++
				args := strings.Fields(strings.ReplaceAll(strings.ReplaceAll(command, "/var/lib/", dir+"/"), "%i", "shop1"))
				if i := len(args) - 2; args[i] == "reload" {
					args[i-1] = "true" // instead of systemctl, which is not everywhere
				}
				code, _, stderr := run(t, nil, args[1:]...)
				if args[0] != program || code != cli.ExitFailure || !strings.Contains(stderr, "no identity") && !strings.Contains(stderr, "no network") {
					t.Errorf("%q: got exit code %d, %s, want it to look for what is not there yet", command, code, stderr)
				}
			}
			if commands == 0 {
				t.Error("no command")
			}
			analyze := catest.NeedTool(t, "systemd-analyze")
			unit := filepath.Join(dir, filepath.Base(path))
			if err := os.WriteFile(unit, []byte(strings.ReplaceAll(string(text), program, self)), 0o600); err != nil {
				t.Fatal(err)
			}
			if out, err := exec.CommandContext(t.Context(), analyze, "verify", "--man=no", unit).CombinedOutput(); err != nil || len(out) > 0 {
				t.Errorf("systemd-analyze verify: %v\n%s", err, out)
			}
		})
	}
}
