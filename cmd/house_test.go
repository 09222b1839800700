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
	documented := map[string]bool{} // by package directory
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
		documented[dir] = documented[dir] || isPackageDoc(path.Base(name), file)
		faults = append(faults, functionFaults(set, file)...)
		return nil
	})
	for dir, ok := range documented {
		if !ok {
			faults = append(faults, dir+` has no doc.go that starts with "Package `+path.Base(dir)+` "`)
		}
	}
	return faults, err
}

// isPackageDoc reports whether the file is where the package's comment belongs, and has it.
func isPackageDoc(base string, file *ast.File) bool {
	if file.Name.Name == "main" {
		return base == "main.go" && strings.HasPrefix(file.Doc.Text(), "Command ")
	}
	return base == "doc.go" && strings.HasPrefix(file.Doc.Text(), "Package "+file.Name.Name+" ")
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
		{"a package comment elsewhere", "a/a.go", doc, 1},
		{"a long file", "a/doc.go", doc + strings.Repeat("\n", 400), 1},
		{"a long function", "a/doc.go", doc + "func f() {" + strings.Repeat("\n", 60) + "}\n", 1},
		{"an init function", "a/doc.go", doc + "func init() {}\n", 1},
		{"a long test function", "a/a_test.go", "package a\nfunc f() {" + strings.Repeat("\n", 60) + "}\n", 0},
	} {
		faults, err := houseFaults(fstest.MapFS{tt.file: {Data: []byte(tt.text)}})
		if err != nil {
			t.Fatal(err)
		}
		if len(faults) != tt.want {
			t.Errorf("%s: got %q, want %d faults", tt.name, faults, tt.want)
		}
	}
}
