package cmd_test

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
)

// The most lines that a file, and a function outside tests, may have.
const (
	maxFile     = 400
	maxFunction = 60
)

// houseFaults returns where the tree breaks the rules of the house.
func houseFaults(tree fs.FS) ([]string, error) {
	var faults []string
	sources := map[string]int{}    // how many files a package has, without tests
	comment := map[string]string{} // the file with the package's comment
	err := fs.WalkDir(tree, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && name != "." && (d.Name() == "testdata" || strings.HasPrefix(d.Name(), ".")) {
			return fs.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(name, ".go") {
			return nil
		}
		text, err := fs.ReadFile(tree, name)
		if err != nil {
			return err
		}
		if lines := bytes.Count(text, []byte("\n")); lines > maxFile {
			faults = append(faults, fmt.Sprintf("%s has %d lines, want at most %d", name, lines, maxFile))
		}
		set := token.NewFileSet()
		file, err := parser.ParseFile(set, name, text, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		if strings.HasSuffix(name, "_test.go") {
			return nil
		}
		dir := path.Dir(name)
		sources[dir]++
		if hasPackageDoc(file) && comment[dir] != "doc.go" {
			comment[dir] = path.Base(name)
		}
		faults = append(faults, functionFaults(set, file)...)
		return nil
	})
	for dir, n := range sources {
		if comment[dir] != "doc.go" && (n > 1 || comment[dir] == "") {
			faults = append(faults, dir+` has no doc.go that starts with "Package `+path.Base(dir)+` "`)
		}
	}
	return faults, err
}

// hasPackageDoc reports whether the file has a package comment in its usual words.
func hasPackageDoc(file *ast.File) bool {
	want := "Package " + file.Name.Name + " "
	if file.Name.Name == "main" {
		want = "Command "
	}
	return strings.HasPrefix(file.Doc.Text(), want)
}

func functionFaults(set *token.FileSet, file *ast.File) []string {
	var faults []string
	for _, decl := range file.Decls {
		f, ok := decl.(*ast.FuncDecl)
		if !ok {
			continue
		}
		start, end := set.Position(f.Pos()), set.Position(f.End())
		if lines := end.Line - start.Line + 1; lines > maxFunction {
			faults = append(faults, fmt.Sprintf("%s: %s has %d lines, want at most %d", start, f.Name, lines, maxFunction))
		}
		if f.Recv == nil && f.Name.Name == "init" {
			faults = append(faults, fmt.Sprintf("%s: an init function, want none", start))
		}
	}
	return faults
}

func TestTheRulesOfTheHouseHold(t *testing.T) {
	t.Parallel()
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	faults, err := houseFaults(os.DirFS(root))
	if err != nil {
		t.Fatal(err)
	}
	for _, fault := range faults {
		t.Error(fault)
	}
}

func TestEveryRuleOfTheHouseCanFail(t *testing.T) {
	t.Parallel()
	const doc = "// Package a is a.\npackage a\n"
	for _, tt := range []struct {
		name, file, text string
		want             int
	}{
		{"a good package", "a/doc.go", doc, 0},
		{"no package comment", "a/doc.go", "package a\n", 1},
		{"a package comment in the only file", "a/a.go", doc, 0},
		{"a long file", "a/doc.go", doc + strings.Repeat("\n", 400), 1},
		{"a long function", "a/doc.go", doc + "func f() {" + strings.Repeat("\n", 60) + "}\n", 1},
		{"an init function", "a/doc.go", doc + "func init() {}\n", 1},
		{"a long test function", "a/a_test.go", "package a\nfunc f() {" + strings.Repeat("\n", 60) + "}\n", 0},
		{"a package comment in another file than doc.go", "a/a.go", doc, 1},
	} {
		tree := fstest.MapFS{tt.file: {Data: []byte(tt.text)}}
		if strings.Contains(tt.name, "another file") {
			tree["a/b.go"] = &fstest.MapFile{Data: []byte("package a\n")}
		}
		faults, err := houseFaults(tree)
		if err != nil {
			t.Fatal(err)
		}
		if len(faults) != tt.want {
			t.Errorf("%s: got %q, want %d faults", tt.name, faults, tt.want)
		}
	}
}
