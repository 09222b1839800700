package config

import (
	_ "embed" // the comments of Config are read from its source
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"reflect"
	"strings"

	"github.com/goccy/go-yaml"
)

//go:embed config.go
var source string

// Load reads the configuration file at path. Keys that are left out have the
// values of [Default]. The error joins all that is wrong with the file.
func Load(path string) (Config, error) {
	c := Default("")
	if err := readFile(path, &c, func() error { return c.Validate() }); err != nil {
		return Config{}, err
	}
	return c, nil
}

// Marshal writes the configuration as a file with a comment above every key.
func (c *Config) Marshal() ([]byte, error) {
	docs, err := fieldDocs()
	if err != nil {
		return nil, err
	}
	comments := yaml.CommentMap{}
	addComments(comments, docs, reflect.TypeFor[Config](), "$")
	return yaml.MarshalWithOptions(c, yaml.WithComment(comments), yaml.IndentSequence(true))
}

// JSON writes the configuration as one JSON object with the keys of the file.
func (c *Config) JSON() ([]byte, error) { return yaml.MarshalWithOptions(c, yaml.JSON()) }

// fieldDocs reads the doc comments of this package's structs, by "Type.Field".
func fieldDocs() (map[string]string, error) {
	file, err := parser.ParseFile(token.NewFileSet(), "config.go", source, parser.ParseComments)
	if err != nil {
		return nil, fmt.Errorf("reading the comments of the configuration: %w", err)
	}
	docs := map[string]string{}
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.TypeSpec)
		if !ok {
			return true
		}
		if s, ok := spec.Type.(*ast.StructType); ok {
			for _, f := range s.Fields.List {
				for _, name := range f.Names {
					docs[spec.Name.Name+"."+name.Name] = strings.TrimSpace(f.Doc.Text())
				}
			}
		}
		return false
	})
	return docs, nil
}

// addComments collects the comments for the fields of t below the YAML path at.
func addComments(comments yaml.CommentMap, docs map[string]string, t reflect.Type, at string) {
	for f := range t.Fields() {
		key, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		path := at + "." + key
		if text := docs[t.Name()+"."+f.Name]; text != "" {
			comments[path] = []*yaml.Comment{yaml.HeadComment(wrap(inFile(text, f.Name))...)}
		}
		if isStruct(f.Type) {
			addComments(comments, docs, f.Type, path)
		}
	}
}

// inFile turns a Go doc comment, which starts with the field's name, into a
// comment for the reader of a file: "Level is the least level" is "The least level".
func inFile(text, field string) string {
	text = strings.TrimPrefix(text, field+" ")
	for _, verb := range []string{"is ", "are "} {
		text = strings.TrimPrefix(text, verb)
	}
	return strings.ToUpper(text[:1]) + text[1:]
}

// wrap breaks text into lines of at most 90 letters, each with a space in front.
func wrap(text string) []string {
	lines := []string{""}
	for word := range strings.FieldsSeq(text) {
		last := len(lines) - 1
		if len(lines[last])+1+len(word) > 90 && lines[last] != "" {
			lines = append(lines, " "+word)
			continue
		}
		lines[last] += " " + word
	}
	return lines
}
