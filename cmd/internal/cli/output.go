package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// result writes what the command found to standard output: v as one JSON object with --json, else text.
func (a *app) result(v any, text string) error {
	if !a.json {
		_, err := io.WriteString(a.out, text)
		return err
	}
	enc := json.NewEncoder(a.out)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

// storyf tells on standard error what happens; --quiet silences it.
func (a *app) storyf(format string, args ...any) {
	if !a.quiet {
		fmt.Fprintln(a.err, printable(fmt.Sprintf(format, args...)))
	}
}

// report writes the error, and the hint if it has one, to standard error. The
// further lines of an error are indented, so that none can pass for a hint.
func (a *app) report(err error) {
	if errors.Is(err, errShown) {
		return
	}
	label := "payca: error:"
	if a.colour() {
		label = "\x1b[1;31m" + label + "\x1b[0m"
	}
	for i, line := range strings.Split(err.Error(), "\n") {
		if i > 0 {
			label = "      "
		}
		fmt.Fprintln(a.err, label, printable(line))
	}
	if e, ok := errors.AsType[*exitError](err); ok && e.hint != "" {
		fmt.Fprintln(a.err, "payca: hint:", printable(e.hint))
	}
}

// colour reports whether standard error is a terminal that wants colour.
func (a *app) colour() bool {
	f, ok := a.err.(*os.File)
	if !ok {
		return false
	}
	if v, _ := a.lookupEnv("NO_COLOR"); v != "" {
		return false
	}
	if term, _ := a.lookupEnv("TERM"); term == "" || term == "dumb" {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// printable escapes what could forge a line, move the cursor or reorder text on a
// terminal: control and format characters, and bytes that are not UTF-8.
func printable(s string) string {
	if strings.IndexFunc(s, func(r rune) bool { return !unicode.IsPrint(r) || r == unicode.ReplacementChar }) < 0 {
		return s
	}
	var b strings.Builder
	for len(s) > 0 {
		r, size := utf8.DecodeRuneInString(s)
		piece := s[:size]
		if unicode.IsPrint(r) && piece == string(r) {
			b.WriteString(piece)
		} else {
			quoted := strconv.QuoteToASCII(piece)
			b.WriteString(quoted[1 : len(quoted)-1])
		}
		s = s[size:]
	}
	return b.String()
}
