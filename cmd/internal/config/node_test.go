package config_test

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/payca/payca/cmd/internal/config"
)

func TestAStatusNodeIsReadAndWhatIsWrongIsNamed(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct{ text, want string }{
		"as it may be":            {"identity: node1\n", ""},
		"with everything":         {"identity: node1\nupstream: https://ca.example.test:8443\ndata: d\nlisten: 127.0.0.1:80\nvalidity: 2h\nmax_age: 1m\nretention: 0s\nlog: {level: debug, format: json}\n", ""},
		"without an identity":     {"listen: 127.0.0.1:80\n", "identity: "},
		"a CA over plain http":    {"identity: node1\nupstream: http://ca.example.test\n", `upstream: "http://ca.example.test", want https://HOST[:PORT]`},
		"answers of five minutes": {"identity: node1\nvalidity: 5m\n", "validity: "},
		"a key of the CA":         {"identity: node1\nstatus_url: http://localhost\n", "status_url"},
	} {
		path := filepath.Join(t.TempDir(), config.NodeFileName)
		if err := os.WriteFile(path, []byte(tt.text), 0o600); err != nil {
			t.Fatal(err)
		}
		c, err := config.LoadStatusNode(path)
		switch {
		case tt.want == "" && err != nil, tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)):
			t.Errorf("%s: got %v, want %q", name, err, tt.want)
		case err == nil && c.Path(c.Identity) != filepath.Join(filepath.Dir(path), "node1"):
			t.Errorf("%s: got identity %s, want it beside the file", name, c.Path(c.Identity))
		}
	}
}

func TestEveryKeyOfAStatusNodeIsDocumented(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile(filepath.Join("..", "..", "..", "docs", "status.md"))
	if err != nil {
		t.Fatal(err)
	}
	for f := range reflect.TypeFor[config.StatusNode]().Fields() {
		key, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		if key != "" && !strings.Contains(string(page), "| `"+key+"` |") {
			t.Errorf("docs/status.md: got no row for `%s`", key)
		}
	}
}
