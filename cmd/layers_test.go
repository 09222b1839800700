package cmd_test

import (
	"fmt"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"
)

const module = "github.com/payca/payca/"

// order lists the packages: each imports only packages of lines above its own. An
// entry that ends in /* stands for all packages below it, which may import each other.
var order = []string{
	"policy", "policy/rules", "policy/weakkeys", "ocsp/feed", "ocsp", "policy/path",
	"ca/audit", "ca/boltlog", "ca", "ca/bulk", "ca/lint", "ca/status", "ca/boltstore", "ca/pgstore", "ca/storetest", "ca/catest",
	"enroll/strictjson", "enroll/problem", "enroll", "enroll/internal/testca", "enroll/mtls", "enroll/keystore", "enroll/server", "enroll/est", "enroll/step",
	"payment/money", "payment/ledger", "payment", "payment/account", "payment/agent", "payment/agent/*", "payment/paytest",
	"cmd/internal/*", "cmd/payca",
}

// heavy lists the dependencies that only some packages may import, so that the others
// build in seconds. Tests are no exception.
var heavy = map[string][]string{
	"github.com/smallstep/certificates":  {"enroll/step", "cmd/internal/bench/peer"}, // the peer is measured
	"github.com/zmap/zlint":              {"ca/lint"},
	"github.com/zmap/zcrypto":            {"ca/lint"},
	"cel.dev/":                           {"policy/rules"},
	"github.com/google/cel-go":           {"policy/rules"},
	"github.com/jackc/pgx":               {"ca/pgstore"},
	"github.com/chromedp":                {"cmd/internal/console"},
	"software.sslmate.com/src/go-pkcs12": {"enroll/keystore"},
	"go.etcd.io/bbolt":                   {"ca/boltlog", "ca/boltstore", "payment/ledger", "payment/agent", "cmd/internal/node", "cmd/internal/bench"},
	"github.com/spf13":                   {"cmd/internal/cli"},
	"github.com/goccy/go-yaml":           {"cmd/internal/config"},
}

// libraries are what programs of others import: they reach nothing heavy, not even through others.
var libraries = []string{"policy", "ocsp", "enroll", "enroll/mtls", "payment"}

// aids are the packages that exist for tests.
var aids = []string{"ca/storetest", "ca/catest", "enroll/internal/testca", "payment/paytest"}

// A source is the imports of one Go file.
type source struct {
	dir      string // its package: "ca/boltstore"
	file     string
	test     bool     // a _test.go file
	external bool     // of a package X_test
	imports  []string // as they are written; those of this module without its path
}

// inTree reports whether the path is one of this module, known to order or not.
func inTree(p string) bool {
	top, _, _ := strings.Cut(p, "/")
	return slices.Contains([]string{"policy", "ocsp", "ca", "enroll", "payment", "cmd", "internal", "pkg", "util"}, top)
}

// readTree parses the imports of every Go file below the root of tree.
func readTree(tree fs.FS) ([]source, error) {
	var sources []source
	err := fs.WalkDir(tree, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		base := path.Base(name)
		if d.IsDir() && name != "." && (base == "testdata" || strings.HasPrefix(base, ".") || strings.HasPrefix(base, "_")) {
			return fs.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(name, ".go") {
			return nil
		}
		text, err := fs.ReadFile(tree, name)
		if err != nil {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, text, parser.ImportsOnly)
		if err != nil {
			return err
		}
		s := source{dir: path.Dir(name), file: name, test: strings.HasSuffix(name, "_test.go")}
		s.external = s.test && strings.HasSuffix(file.Name.Name, "_test")
		for _, spec := range file.Imports {
			imported, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return err
			}
			s.imports = append(s.imports, strings.TrimPrefix(imported, module))
		}
		sources = append(sources, s)
		return nil
	})
	return sources, err
}

// rank is the place of a package in order, -1 if it has none.
func rank(dir string) int {
	if i := slices.Index(order, dir); i >= 0 {
		return i
	}
	for i, entry := range order {
		if prefix, ok := strings.CutSuffix(entry, "*"); ok && strings.HasPrefix(dir, prefix) {
			return i
		}
	}
	return -1
}

// below reports whether dir is one of the packages or lies below one.
func below(dir string, packages ...string) bool {
	return slices.ContainsFunc(packages, func(p string) bool { return dir == p || strings.HasPrefix(dir, p+"/") })
}

// isCA reports whether dir is the authority or what stands on it. The log does not: agents keep one too.
func isCA(dir string) bool { return below(dir, "ca") && dir != "ca/audit" && dir != "ca/boltlog" }

// each lists the imports that are wrong, as sentences for the report.
func each(sources []source, wrong func(s source, imported string) bool) []string {
	var found []string
	for _, s := range sources {
		for _, imported := range s.imports {
			if wrong(s, imported) {
				found = append(found, s.file+" imports "+imported)
			}
		}
	}
	return found
}

// reach returns every import that package dir reaches without its tests, with the path to it.
func reach(sources []source, dir string) map[string]string {
	reached := map[string]string{dir: dir}
	for queue := []string{dir}; len(queue) > 0; queue = queue[1:] {
		for _, s := range sources {
			if s.dir != queue[0] || s.test {
				continue
			}
			for _, imported := range s.imports {
				if reached[imported] == "" {
					reached[imported] = reached[queue[0]] + " > " + imported
					queue = append(queue, imported)
				}
			}
		}
	}
	return reached
}

// A rule returns the places where the sources break it.
type rule struct {
	name  string
	check func([]source) []string
	bad   fstest.MapFS // the smallest tree that breaks it
}

// tree makes a synthetic tree: file name to the paths it imports.
func tree(files map[string][]string) fstest.MapFS {
	m := fstest.MapFS{}
	for name, imports := range files {
		var b strings.Builder
		dir := path.Base(path.Dir(name))
		if strings.HasSuffix(name, "ext_test.go") {
			dir += "_test"
		}
		fmt.Fprintf(&b, "package %s\n", dir)
		for _, p := range imports {
			if inTree(p) {
				p = module + p
			}
			fmt.Fprintf(&b, "import _ %q\n", p)
		}
		m[name] = &fstest.MapFile{Data: []byte(b.String())}
	}
	return m
}

func TestTheImportRulesHold(t *testing.T) {
	t.Parallel()
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	sources, err := readTree(os.DirFS(root))
	if err != nil {
		t.Fatal(err)
	}
	if len(sources) < 20 {
		t.Fatalf("got %d Go files below %s, want the whole module", len(sources), root)
	}
	for _, r := range rules {
		t.Run(r.name, func(t *testing.T) {
			t.Parallel()
			for _, place := range r.check(sources) {
				t.Error(place)
			}
		})
	}
}

func TestEveryImportRuleCanFail(t *testing.T) {
	t.Parallel()
	good := tree(map[string][]string{
		"policy/a.go": {"fmt"}, "ocsp/a.go": {"policy"}, "ocsp/ext_test.go": {"ca/catest"}, "ca/audit/a.go": nil,
		"ca/a.go": {"policy", "ca/audit"}, "ca/catest/a.go": {"ca", "ocsp", "testing"}, "enroll/a.go": {"policy"},
		"payment/a.go": {"policy"}, "payment/account/a.go": {"payment"}, "payment/agent/merchant/a.go": {"payment", "ca/audit"},
		"cmd/internal/cli/a.go": {"ca", "ocsp", "cmd/internal/config", "github.com/spf13/cobra"}, "cmd/internal/config/a.go": nil,
	})
	for _, r := range rules {
		t.Run(r.name, func(t *testing.T) {
			t.Parallel()
			for _, c := range []struct {
				tree  fstest.MapFS
				fails bool
			}{{good, false}, {r.bad, true}} {
				sources, err := readTree(c.tree)
				if err != nil {
					t.Fatal(err)
				}
				if got := r.check(sources); len(got) > 0 != c.fails {
					t.Errorf("got %q, want failure: %v", got, c.fails)
				}
			}
		})
	}
}
