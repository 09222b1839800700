package cli_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
)

// recipe runs "recipe HEADING N FILE": FILE is block N, from 1, below the heading of docs/recipes.md, with paths, ports and URLs of
// the script.
func recipe(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: recipe HEADING N FILE")
	}
	page, err := os.ReadFile(filepath.Join(ts.Getenv("REPO"), "docs", "recipes.md"))
	ts.Check(err)
	_, section, found := strings.Cut(string(page), "\n## "+args[0]+"\n")
	section, _, _ = strings.Cut(section, "\n## ")
	n, err := strconv.Atoi(args[1])
	blocks := strings.Split(section, "\n```")
	if !found || err != nil || n < 1 || len(blocks) <= 2*n-1 {
		ts.Fatalf("docs/recipes.md has no block %s below %q", args[1], args[0])
	}
	_, text, _ := strings.Cut(blocks[2*n-1], "\n") // after the name of the language
	text = strings.NewReplacer(
		"/var/lib/payca", ts.MkAbs("party"), "http://status.example.test", "http://127.0.0.1:"+ts.Getenv("HTTP"),
		"gateway.example.test:9443", "127.0.0.1:"+ts.Getenv("NODE"), ":9443", "127.0.0.1:"+ts.Getenv("NODE"), "listen 9443", "listen 127.0.0.1:"+ts.Getenv("NODE"),
	).Replace(text)
	ts.Check(os.WriteFile(ts.MkAbs(args[2]), []byte(text+"\n"), 0o600))
}

// goBuild runs "go-build FILE PROGRAM": the Go file is compiled as a program that uses this module.
func goBuild(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: go-build FILE PROGRAM")
	}
	cmd := exec.Command("go", "build", "-o", ts.MkAbs(args[1]), ts.MkAbs(args[0])) // with the environment, and so the cache, of the test
	cmd.Dir = ts.Getenv("REPO")
	out, err := cmd.CombinedOutput()
	if err != nil {
		ts.Fatalf("go build %s: %v\n%s", args[0], err, out)
	}
}
