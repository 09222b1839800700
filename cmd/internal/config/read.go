package config

import (
	"encoding"
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// maxSize bounds a file.
const maxSize = 64 << 10

// A FieldError says which key of a file is wrong, and why.
type FieldError struct {
	Path string // as in listen.https or parties[2].role
	Err  error
}

// Error is the path and the reason.
func (e *FieldError) Error() string { return e.Path + ": " + e.Err.Error() }

// Unwrap returns the reason.
func (e *FieldError) Unwrap() error { return e.Err }

// readFile reads the file at path into the struct that v points to, then checks it.
// Every error names the file, and the line where it is known.
func readFile(path string, v any, check func() error) error {
	data, err := readBounded(path)
	if err != nil {
		return err
	}
	return parse(path, data, v, check)
}

// readBounded reads a file of at most maxSize.
func readBounded(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err // names the path
	}
	defer func() { _ = f.Close() }()
	data, err := io.ReadAll(io.LimitReader(f, maxSize+1))
	if err == nil && len(data) > maxSize {
		err = fmt.Errorf("%s: more than %d KiB", path, maxSize>>10)
	}
	return data, err
}

// parse reads the text of a file into the struct that v points to, then checks it.
func parse(name string, data []byte, v any, check func() error) error {
	d := document{name: name, lines: map[string]int{}}
	if err := d.decode(data, v); err != nil {
		return err
	}
	if err := check(); err != nil {
		return d.locate(err)
	}
	return nil
}

// A document is one file on its way into a struct.
type document struct {
	name  string
	lines map[string]int // path of a key to its line
	errs  []error
}

// decode fills v and refuses what v has no field for.
func (d *document) decode(data []byte, v any) error {
	tokens := lexer.Tokenize(string(data))
	if err := d.scan(tokens); err != nil {
		return err
	}
	file, err := parser.Parse(tokens, 0)
	if err != nil {
		return d.syntax(err)
	}
	if len(file.Docs) > 1 && file.Docs[1].Body != nil {
		return d.at(file.Docs[1].Body, errors.New("a second document, want one"))
	}
	if len(file.Docs) == 0 || file.Docs[0].Body == nil {
		return nil
	}
	d.walk(file.Docs[0].Body, reflect.TypeOf(v).Elem(), "")
	if len(d.errs) > 0 {
		return errors.Join(d.errs...)
	}
	if err := yaml.NodeToValue(file.Docs[0].Body, v, yaml.Strict()); err != nil {
		return d.syntax(err)
	}
	return nil
}

// What a file may nest: brackets within brackets, and how far right a line may begin a list or a mapping.
const (
	maxDepth  = 32
	maxIndent = 256
)

// scan refuses what the parser, whose time and memory grow with the square of the depth, must not see.
func (d *document) scan(tokens token.Tokens) error {
	depth := 0
	for _, tk := range tokens {
		refuse := func(found string) error {
			return fmt.Errorf("%s:%d: %s", d.name, tk.Position.Line, found)
		}
		switch tk.Type {
		case token.SequenceStartType, token.MappingStartType:
			if depth++; depth > maxDepth {
				return refuse("nested too deep")
			}
		case token.SequenceEndType, token.MappingEndType:
			depth--
		case token.AnchorType, token.AliasType, token.TagType, token.MergeKeyType:
			return refuse(tk.Value + " is an anchor, alias, merge or tag, want the value itself")
		case token.SequenceEntryType, token.MappingKeyType, token.MappingValueType:
			if depth == 0 && tk.Position.Column > maxIndent {
				return refuse("indented too far")
			}
		}
	}
	return nil
}

// walk compares a node with the type that will receive it.
func (d *document) walk(node ast.Node, t reflect.Type, path string) {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch n := node.(type) {
	case *ast.SequenceNode:
		if t.Kind() != reflect.Slice {
			d.fail(node, fmt.Errorf("%s: a list, want %s", path, kindName(t)))
			return
		}
		for i, value := range n.Values {
			item := fmt.Sprintf("%s[%d]", path, i)
			d.lines[item] = value.GetToken().Position.Line
			d.walk(value, t.Elem(), item)
		}
	case *ast.MappingNode:
		d.walkMapping(n.Values, node, t, path)
	case *ast.MappingValueNode:
		d.walkMapping([]*ast.MappingValueNode{n}, node, t, path)
	case *ast.NullNode:
	default:
		if u, ok := reflect.New(t).Interface().(encoding.TextUnmarshaler); ok {
			if err := u.UnmarshalText([]byte(node.GetToken().Value)); err != nil {
				d.fail(node, fmt.Errorf("%s: %w", path, err))
			}
			return
		}
		if isStruct(t) || t.Kind() == reflect.Slice {
			d.fail(node, fmt.Errorf("%s: %s, want %s", orRoot(path), node.GetToken().Value, kindName(t)))
		}
	}
}

func (d *document) walkMapping(values []*ast.MappingValueNode, node ast.Node, t reflect.Type, path string) {
	if !isStruct(t) {
		if t.Kind() != reflect.Map {
			d.fail(node, fmt.Errorf("%s: a mapping, want %s", orRoot(path), kindName(t)))
		}
		return
	}
	fields := fieldsOf(t)
	for _, value := range values {
		key := value.Key.GetToken().Value
		full := strings.TrimPrefix(path+"."+key, ".")
		d.lines[full] = value.Key.GetToken().Position.Line
		field, ok := fields[key]
		if !ok {
			d.fail(value.Key, fmt.Errorf("unknown key %q%s", full, nearest(key, path, fields)))
			continue
		}
		d.walk(value.Value, field, full)
	}
}

// fail keeps an error at the line of the node.
func (d *document) fail(node ast.Node, err error) { d.errs = append(d.errs, d.at(node, err)) }

func (d *document) at(node ast.Node, err error) error {
	return fmt.Errorf("%s:%d: %w", d.name, node.GetToken().Position.Line, err)
}

// syntax turns an error of the YAML library into one line.
func (d *document) syntax(err error) error {
	if e, ok := errors.AsType[yaml.Error](err); ok && e.GetToken() != nil {
		return fmt.Errorf("%s:%d: %s", d.name, e.GetToken().Position.Line, e.GetMessage())
	}
	return fmt.Errorf("%s: %w", d.name, err)
}

// locate adds file and line to each FieldError that err joins.
func (d *document) locate(err error) error {
	var located []error
	for _, one := range listOf(err) {
		place := d.name
		if e, ok := errors.AsType[*FieldError](one); ok {
			if line := d.line(e.Path); line > 0 {
				place = fmt.Sprintf("%s:%d", d.name, line)
			}
		}
		located = append(located, fmt.Errorf("%s: %w", place, one))
	}
	return errors.Join(located...)
}

// listOf is the errors that err joins, or err alone.
func listOf(err error) []error {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		return joined.Unwrap()
	}
	return []error{err}
}

// line is where the key at path stands, or the nearest key around it; 0 if there is none.
func (d *document) line(path string) int {
	for path != "" {
		if line, ok := d.lines[path]; ok {
			return line
		}
		path = path[:max(strings.LastIndexAny(path, ".["), 0)]
	}
	return 0
}

// isStruct reports whether t is read key by key, and not from one text.
func isStruct(t reflect.Type) bool {
	return t.Kind() == reflect.Struct && !reflect.PointerTo(t).Implements(reflect.TypeFor[encoding.TextUnmarshaler]())
}

// fieldsOf returns the types of the struct's fields by key.
func fieldsOf(t reflect.Type) map[string]reflect.Type {
	fields := map[string]reflect.Type{}
	for f := range t.Fields() {
		if key, _, _ := strings.Cut(f.Tag.Get("yaml"), ","); key != "" && key != "-" {
			fields[key] = f.Type
		}
	}
	return fields
}

func kindName(t reflect.Type) string {
	switch {
	case isStruct(t):
		return "a mapping"
	case t.Kind() == reflect.Slice:
		return "a list"
	}
	return "one value"
}

func orRoot(path string) string {
	if path == "" {
		return "the file"
	}
	return path
}
