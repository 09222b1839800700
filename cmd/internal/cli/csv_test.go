package cli_test

import (
	"bytes"
	"encoding/csv"
	"testing"

	"github.com/payca/payca/cmd/internal/cli"
)

func TestNoCellIsAFormula(t *testing.T) {
	t.Parallel()
	for cell, want := range map[string]string{
		"=HYPERLINK(\"http://x\")": "'=HYPERLINK(\"http://x\")",
		"+1":                       "'+1", "-1": "'-1", "@SUM(A1)": "'@SUM(A1)", "|cmd": "'|cmd", "%x": "'%x",
		"\t=1": "'\t=1", "\r=1": "'\r=1", "\n=1": "'\n=1", " =1": "' =1", "\u00a0=1": "'\u00a0=1", "\ufeff=1": "'\ufeff=1",
		"＝1": "'＝1", "＋1": "'＋1", "－1": "'－1", "＠x": "'＠x",
		"": "", " ": " ", "shop-1": "shop-1", "CN=a,O=b": "CN=a,O=b", "'x": "'x", "a\n=b": "a\n=b", "Müller": "Müller",
	} {
		if got := cli.PlainCells([]string{cell})[0]; got != want {
			t.Errorf("%q: got %q, want %q", cell, got, want)
		}
	}
}

// A quote or a comma in a cell must not end it, for what follows could be a formula then.
func TestACellDoesNotEndEarly(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	table := csv.NewWriter(&out)
	if err := table.Write(cli.PlainCells([]string{`a","=1`, "b\n=2", "c"})); err != nil {
		t.Fatal(err)
	}
	table.Flush()
	rows, err := csv.NewReader(&out).ReadAll()
	if err != nil || len(rows) != 1 || len(rows[0]) != 3 {
		t.Errorf("got %q, %v, want one row of three cells", rows, err)
	}
}
