package cli_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/payca/payca/cmd/internal/config"
)

// consoleErrors runs the console blocks of a document in order and returns what
// went wrong, nothing after the first error.
func consoleErrors(t *testing.T, markdown string) (commands int, err error) {
	t.Helper()
	ports, err := config.FreePorts(2)
	if err != nil {
		t.Fatal(err)
	}
	https, http := ports[0], ports[1]
	c := &console{
		dir:     t.TempDir(),
		rewrite: map[string]string{"8443": https, "8080": http},
		env: []string{
			"PAYCA_HTTPS=127.0.0.1:" + https, "PAYCA_HTTP=127.0.0.1:" + http, "PAYCA_STATUS_URL=http://localhost:" + http,
		},
	}
	for _, cmd := range parseConsole(markdown) {
		commands++
		if err = c.run(t.Context(), cmd); err != nil {
			err = fmt.Errorf("line %d: %s: %w", cmd.line, cmd.text, err)
			break
		}
	}
	return commands, errors.Join(err, c.close())
}

// TestTheReadmeRuns runs the console blocks of README.md, from an empty home.
func TestTheReadmeRuns(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(filepath.Join("..", "..", "..", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	commands, err := consoleErrors(t, string(text))
	if err != nil {
		t.Error(err)
	}
	if commands == 0 {
		t.Error("got no console block in README.md, want one at least")
	}
}

func TestConsoleBlocks(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, block, want string }{
		{"output is compared", "$ echo one\none", ""},
		{"other output is told", "$ echo one\ntwo", "got\none\nwant\ntwo"},
		{"missing output is told", "$ true\ntwo", "got\n\nwant\ntwo"},
		{"too much output is told", "$ printf 'a\\nb\\n'\na", "got\na\nb\nwant\na"},
		{"standard error counts", "$ echo one >&2\none", ""},
		{"… is anything on a line", "$ echo at 01:25:02 sharp\nat … sharp", ""},
		{"… does not cross lines", "$ printf 'a\\nb\\n'\na…b", "want"},
		{"… alone is any lines", "$ printf 'a\\nb\\nc\\nd\\n'\na\n…\nd", ""},
		{"… alone may be no line", "$ echo a\na\n…", ""},
		{"a word is completed from earlier output", "$ echo token-123\ntoken-…\n$ echo got token-…\ngot token-123", ""},
		{"a word that nothing completes is told", "$ echo x…\nx", "no earlier output"},
		{"names have homes of their own", "$ pwd >here\nshop$ pwd >here\n$ ls\nhere\nshop\nshop$ ls ~\nhere", ""},
		{"failure is told", "$ exit 3", "exit status 3"},
		{"a refusal must fail", "$ echo payca: error: no\npayca: error: no", "want failure"},
		{"a refusal is fine", "$ payca bogus\npayca: error: unknown command \"payca bogus\"\npayca: hint: …", ""},
		{"ports are rewritten", "$ echo 8443 $PAYCA_HTTPS\n8443 127.0.0.1:8443", ""},
		{"the background is waited for", "$ sh -c 'trap \"exit 0\" TERM; sleep 0.2; echo ready; while :; do sleep 0.05; done' &\nready\n$ echo next\nnext", ""},
		{"the background must end well", "$ sleep 60 &", "signal: terminated"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			commands, err := consoleErrors(t, "```sh\n$ exit 1\n```\n```console\n"+tt.block+"\n```\n$ exit 1\n")
			if commands == 0 || (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v after %d commands, want %q", err, commands, tt.want)
			}
		})
	}
}
