package config_test

import (
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/payca/payca/cmd/internal/config"
	"github.com/payca/payca/policy"
)

// write puts text into a file named payca.yaml and returns its path.
func write(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), config.FileName)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// brief replaces the directory of path in the error.
func brief(err error, path string) string {
	if err == nil {
		return ""
	}
	return strings.ReplaceAll(err.Error(), filepath.Dir(path)+string(filepath.Separator), "")
}

func TestWhatIsWrittenIsReadBack(t *testing.T) {
	t.Parallel()
	want := config.Default("pay.example")
	want.OCSP.Validity = policy.Duration(90 * time.Minute)
	text, err := want.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	got, err := config.Load(write(t, string(text)))
	if err != nil {
		t.Fatalf("loading\n%s: %v", text, err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	object, err := want.JSON()
	if err != nil || !json.Valid(object) {
		t.Fatalf("got %s, %v, want JSON", object, err)
	}
	if got, err = config.Load(write(t, string(object))); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("from JSON %s got %+v, %v, want %+v", object, got, err, want)
	}
}

func TestKeysLeftOutHaveTheirDefaults(t *testing.T) {
	t.Parallel()
	got, err := config.Load(write(t, "network: pay.example\nlisten:\n  http: :80\nserver_names: [ca.pay.example]\n"))
	if err != nil {
		t.Fatal(err)
	}
	want := config.Default("pay.example")
	want.Listen.HTTP = ":80"
	want.ServerNames = []string{"ca.pay.example"}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestEveryFieldHasACommentInTheFile(t *testing.T) {
	t.Parallel()
	c := config.Default("pay.example")
	text, err := c.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	file, err := parser.ParseFile(token.NewFileSet(), "config.go", nil, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	fields := 0
	ast.Inspect(file, func(n ast.Node) bool {
		f, ok := n.(*ast.Field)
		if !ok || f.Tag == nil {
			return true
		}
		fields++
		if name := f.Names[0].Name; !strings.HasPrefix(f.Doc.Text(), name+" ") {
			t.Errorf("field %s: comment %q, want one that starts with its name", name, f.Doc.Text())
		}
		return true
	})
	comments, previous := 0, ""
	for line := range strings.Lines(string(text)) {
		isComment := strings.HasPrefix(strings.TrimSpace(line), "#")
		if !isComment && strings.HasPrefix(previous, "#") {
			comments++
		}
		if len(line) > 110 {
			t.Errorf("%d letters in a line, want at most 110: %s", len(line), line)
		}
		previous = strings.TrimSpace(line)
	}
	if comments != fields || fields == 0 {
		t.Errorf("got %d commented keys for %d fields in\n%s", comments, fields, text)
	}
}

func TestLoadRefuses(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, text, want string }{
		{"an empty file", "", `payca.yaml: network: network-name: network is "", which is empty, want a lower-case DNS name of at most 64 characters`},
		{"a misspelt key", "network: a.example\nlisten:\n  htps: :1\n", `payca.yaml:3: unknown key "listen.htps", want "listen.https"`},
		{"a key with dashes", "status-url: x\n", `payca.yaml:1: unknown key "status-url", want "status_url"`},
		{"a key that is like nothing", "log: {wxyz: 1}", `payca.yaml:1: unknown key "log.wxyz", want one of format, level`},
		{"all unknown keys at once", "x: 1\nlogs: {}\n", "payca.yaml:1: unknown key \"x\", want one of addresses, approvals, audit, crl, endpoints, keys, listen, log, network, notices, ocsp, profiles, recheck, rules, server_names, status_url, store\n" +
			`payca.yaml:2: unknown key "logs", want "log"`},
		{"a key given twice", "network: a.example\nnetwork: b.example\n", `payca.yaml:2: mapping key "network" already defined at [1:1]`},
		{"a value for a mapping", "listen: :80\n", `payca.yaml:1: listen: :80, want a mapping`},
		{"a list for a value", "network: [a]\n", `payca.yaml:1: network: a list, want one value`},
		{"a mapping for a list", "server_names: {a: b}\n", `payca.yaml:1: server_names: a mapping, want a list`},
		{"a duration in words", "network: a.example\nocsp:\n  validity: a week\n", `payca.yaml:3: ocsp.validity: duration "a week": want whole days ("30" or "30d") or hours, minutes and seconds ("36h", "90s")`},
		{"an anchor", "network: &a x\n", `payca.yaml:1: & is an anchor, alias, merge or tag, want the value itself`},
		{"a second document", "network: a.example\n---\nnetwork: b.example\n", `payca.yaml:3: a second document, want one`},
		{
			"all bad values at once, each with its line", "network: Pay\nlisten:\n  http: here\nlog:\n  level: loud\n",
			"payca.yaml:1: network: network-name: network is \"Pay\", which has the character 'P', want a lower-case DNS name of at most 64 characters\n" +
				"payca.yaml:3: listen.http: \"here\", want host:port, as in 127.0.0.1:8443\n" +
				`payca.yaml:5: log.level: "loud", want one of debug, info, warn, error`,
		},
		{"a status URL over https", "network: a.example\nstatus_url: https://ca.example\n", `payca.yaml:2: status_url: "https://ca.example", want http://host[:port][/path]`},
		{"a status URL with a slash at the end", "network: a.example\nstatus_url: http://ca.example/\n", `payca.yaml:2: status_url: "http://ca.example/", want no slash at the end`},
		{"one port for both", "network: a.example\nlisten: {http: ':1', https: ':1'}\n", `payca.yaml:2: listen.http: ":1" is listen.https too, want another port`},
		{"a cache age over half the validity", "network: a.example\nocsp: {validity: 1h, max_age: 31m}\n", `payca.yaml:2: ocsp.max_age: 31m0s, want 0s to 30m0s`},
		{"a bad entry of a list", "network: a.example\nserver_names:\n  - good.example\n  - '*.example'\n", `payca.yaml:4: server_names[1]: dns-name: DNS name is "*.example", which has the character '*', want a host name: lower-case letters, digits and hyphens, in labels of 1 to 63, at most 253 in all`},
		{"text that is not YAML", "network: [\n", `payca.yaml:1: sequence end token ']' not found`},
		{
			"a profile given twice", "network: a.example\nprofiles:\n" + strings.Repeat("  - {name: x, role: merchant, key_usage: digitalSignature, ext_key_usage: [clientAuth], validity: 1d}\n", 2),
			`payca.yaml:4: profiles[1].name: "x" stands above too, want it once`,
		},
		{"an unknown key of a profile", "network: a.example\nprofiles: [{nam: x}]\n", `payca.yaml:2: unknown key "profiles[0].nam", want "profiles[0].name"`},
		{
			"a bad profile", "network: a.example\nprofiles:\n  - name: merchant\n    role: merchant\n    key_usage: all\n    validity: 30d\n",
			`payca.yaml:5: profiles[0].key_usage: profile "merchant": key_usage "all": want digitalSignature or keyAgreement`,
		},
		{"no names at all", "network: a.example\nserver_names: []\naddresses: []\n", `payca.yaml:2: server_names: empty, as addresses is, want the names under which parties reach the CA`},
		{"a sink without a name", "network: a.example\naudit:\n  sinks:\n    - {type: file, path: x}\n", `payca.yaml:4: audit.sinks[0]: name "", want lower-case letters, digits and hyphens, at most 63`},
		{
			"a sink given twice", "network: a.example\naudit:\n  sinks:\n    - {name: x, type: file, path: x}\n    - {name: x, type: file, path: y}\n",
			`payca.yaml:5: audit.sinks[1]: name "x" stands above too, want it once`,
		},
		{"a sink of no type", "network: a.example\naudit: {sinks: [{name: x, type: smtp}]}\n", `payca.yaml:2: audit.sinks[0]: type "smtp", want one of file, syslog, webhook`},
		{"a file sink with a URL", "network: a.example\naudit: {sinks: [{name: x, type: file, url: 'http://x'}]}\n", `payca.yaml:2: audit.sinks[0]: type file with url, want path alone`},
		{"a syslog sink without a port", "network: a.example\naudit: {sinks: [{name: x, type: syslog, address: logs}]}\n", `payca.yaml:2: audit.sinks[0]: "logs", want host:port, as in 127.0.0.1:8443`},
		{"a webhook with a password", "network: a.example\naudit: {sinks: [{name: x, type: webhook, url: 'https://a:b@x'}]}\n", `payca.yaml:2: audit.sinks[0]: url has a user or fragment, want none`},
		{"a webhook over ftp", "network: a.example\naudit: {sinks: [{name: x, type: webhook, url: 'ftp://x'}]}\n", `payca.yaml:2: audit.sinks[0]: url is none, want http or https, as in https://events.example/payca`},
		{"a file that is too large", strings.Repeat("#", 64<<10+1), `payca.yaml: more than 64 KiB`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			path := write(t, tt.text)
			_, err := config.Load(path)
			if got := brief(err, path); got != tt.want {
				t.Errorf("got\n%s\nwant\n%s", got, tt.want)
			}
		})
	}
}

func TestAProfileReplacesItsNamesake(t *testing.T) {
	t.Parallel()
	c, err := config.Load(write(t, "network: a.example\nprofiles:\n"+
		"  - {name: merchant, role: merchant, key_usage: digitalSignature, ext_key_usage: [clientAuth], validity: 1d}\n"+
		"  - {name: kiosk, role: terminal, key_usage: digitalSignature, ext_key_usage: [clientAuth], validity: 2d}\n"))
	if err != nil {
		t.Fatal(err)
	}
	all, builtin := c.AllProfiles(), policy.DefaultProfiles()
	if len(all) != len(builtin)+1 || all[len(all)-1].Name != "kiosk" {
		t.Fatalf("got %d profiles, want kiosk after the %d built-in ones", len(all), len(builtin))
	}
	for i, p := range builtin {
		if p.Name == "merchant" {
			p = c.Profiles[0]
		}
		if !reflect.DeepEqual(all[i], p) {
			t.Errorf("got %+v, want %+v", all[i], p)
		}
	}
}

func TestHostileFilesAreRefusedInTime(t *testing.T) {
	t.Parallel()
	for _, piece := range []string{"[", "{", "- ", "? ", "a: {", "!!a ", "&a ", "* ", ": ", "<<: ", "\"", "|\n", "a: b\n", "--- \n", "-\n", " -\n"} {
		path := write(t, strings.Repeat(piece, (64<<10)/len(piece)))
		start := time.Now()
		if _, err := config.Load(path); err == nil {
			t.Errorf("%q repeated: got no error", piece)
		}
		if took := time.Since(start); took > time.Minute { // what grows with a power of the size takes far longer
			t.Errorf("%q repeated: took %v, want less than a minute", piece, took)
		}
	}
}

func FuzzLoad(f *testing.F) {
	f.Add("network: pay.example\nlisten: {http: ':80'}\nocsp:\n  validity: 7d\n")
	f.Add("a: &x [*x]\n? [k]: v\n<<: *x\n")
	f.Add(`{"network": "pay.example", "addresses": ["::1"]}`)
	f.Add("network: pay.example\n" + shopProfile + "rules:\n  - {name: a, require: 'now.getHours() < 12', want: before noon}\n")
	f.Fuzz(func(t *testing.T, text string) {
		c, err := config.Load(write(t, text))
		if err != nil {
			return
		}
		out, err := c.Marshal()
		if err != nil {
			t.Fatalf("writing what was read: %v", err)
		}
		again, err := config.Load(write(t, string(out)))
		if err != nil {
			t.Fatalf("reading\n%s: %v", out, err)
		}
		if twice, err := again.Marshal(); err != nil || string(twice) != string(out) {
			t.Fatalf("got\n%s, %v, want\n%s", twice, err, out)
		}
	})
}
