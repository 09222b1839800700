package audit_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/payca/payca/ca/audit"
)

// exported is the export of a log, by line.
func exported(t testing.TB, log *audit.Log, m *memory) [][]byte {
	t.Helper()
	var b bytes.Buffer
	if _, err := audit.Export(t.Context(), &b, m, log.VerifierKey()); err != nil {
		t.Fatal(err)
	}
	return slices.Collect(bytes.Lines(b.Bytes()))
}

func verify(lines [][]byte, key string) (audit.ExportHeader, audit.Report, error) {
	return audit.VerifyExport(bytes.NewReader(bytes.Join(lines, nil)), key)
}

func TestAnExportProvesItself(t *testing.T) {
	t.Parallel()
	log := newLog(t, "pay.example/ca", 1)
	for _, size := range []int{1, 2, 3, 8, 999, 1000, 1001, 2100} {
		m := filled(t, log, size)
		want, err := tlog.TreeHash(int64(size), m)
		if err != nil {
			t.Fatal(err)
		}
		lines := exported(t, log, m)
		if len(lines) != size+1 {
			t.Fatalf("got %d lines, want a header and %d entries", len(lines), size)
		}
		for _, key := range []string{"", log.VerifierKey()} {
			header, got, err := verify(lines, key)
			if err != nil || got != (audit.Report{Size: uint64(size), Root: want}) || header.Key != log.VerifierKey() || header.Origin != "pay.example/ca" {
				t.Errorf("size %d, key %q: got %+v of %+v, %v, want root %s", size, key, got, header, err, want)
			}
		}
	}
}

func TestVerifyExportNamesTheFirstBadPlace(t *testing.T) {
	t.Parallel()
	log := newLog(t, "pay.example/ca", 1)
	for _, tt := range []struct {
		name   string
		damage func(lines [][]byte) [][]byte // the header is line 0, entry 5 is line 6
		want   uint64
		says   string
	}{
		{"a byte of a leaf flipped", func(l [][]byte) [][]byte {
			l[6] = bytes.Replace(l[6], []byte(`"actor":"5"`), []byte(`"actor":"4"`), 1)
			return l
		}, 5, "differs from its hash"},
		{"an entry dropped", func(l [][]byte) [][]byte { return slices.Delete(l, 6, 7) }, 5, "is missing: entry 6"},
		{"two entries swapped", func(l [][]byte) [][]byte { l[6], l[8] = l[8], l[6]; return l }, 5, "is missing: entry 7"},
		{"an entry repeated", func(l [][]byte) [][]byte { return slices.Insert(l, 6, l[5]) }, 5, "entry 4 stands in its place"},
		{"two entries swapped and renumbered", func(l [][]byte) [][]byte {
			l[6], l[7] = renumber(l[7], 5), renumber(l[6], 6)
			return l
		}, 9, "the signed head has"},
		{"the tail cut off", func(l [][]byte) [][]byte { return l[:7] }, 6, "is missing: the signed head counts 9"},
		{"the last line cut in two", func(l [][]byte) [][]byte { l[9] = l[9][:20]; return l }, 8, "is cut off"},
		{"the last line feed cut off", func(l [][]byte) [][]byte { l[9] = bytes.TrimSpace(l[9]); return l }, 8, "is cut off"},
		{"an entry too many", func(l [][]byte) [][]byte { return append(l, renumber(l[9], 9)) }, 9, "is past the end"},
		{"an empty line", func(l [][]byte) [][]byte { return slices.Insert(l, 6, []byte("\n")) }, 5, "is not a line"},
		{"a second member", func(l [][]byte) [][]byte {
			l[6] = bytes.Replace(l[6], []byte(`{"index"`), []byte(`{"more":1,"index"`), 1)
			return l
		}, 5, "is not written"},
	} {
		lines := tt.damage(exported(t, log, filled(t, log, 9)))
		_, report, err := verify(lines, log.VerifierKey())
		bad := (*audit.Corruption)(nil)
		if !errors.As(err, &bad) || bad.Index != tt.want || !strings.Contains(bad.What, tt.says) || report != (audit.Report{}) {
			t.Errorf("%s: got %+v, %v, want entry %d and %q", tt.name, report, err, tt.want, tt.says)
		}
	}
}

// renumber gives the line another index.
func renumber(line []byte, index int) []byte {
	_, rest, _ := bytes.Cut(line, []byte(","))
	return []byte(`{"index":` + strconv.Itoa(index) + "," + string(rest))
}

func TestVerifyExportRefusesAForgedHead(t *testing.T) {
	t.Parallel()
	log, thief := newLog(t, "pay.example/ca", 1), newLog(t, "pay.example/ca", 2)
	short := exported(t, log, filled(t, log, 3))
	for name, change := range map[string]func(*audit.ExportHeader){
		"signed by another key": func(h *audit.ExportHeader) {
			m := filled(t, log, 9)
			head, err := thief.Seal(m)
			if err != nil {
				t.Fatal(err)
			}
			h.Head = string(head)
		},
		"with another size":    func(h *audit.ExportHeader) { h.Head = strings.Replace(h.Head, "\n9\n", "\n8\n", 1) },
		"missing":              func(h *audit.ExportHeader) { h.Head = "" },
		"and another key":      func(h *audit.ExportHeader) { h.Key = thief.VerifierKey() },
		"and another origin":   func(h *audit.ExportHeader) { h.Origin = "pay.example/cb" },
		"and another size":     func(h *audit.ExportHeader) { h.Size = 8 },
		"and another format":   func(h *audit.ExportHeader) { h.Format = "payca-audit-2" },
		"of an older, shorter": func(h *audit.ExportHeader) { h.Head = headerOf(t, short).Head },
	} {
		lines := exported(t, log, filled(t, log, 9))
		header := headerOf(t, lines)
		change(&header)
		raw, err := json.Marshal(header)
		if err != nil {
			t.Fatal(err)
		}
		lines[0] = append(raw, '\n')
		if _, report, err := verify(lines, log.VerifierKey()); !errors.As(err, new(*audit.HeadError)) {
			t.Errorf("a head %s: got %+v, %v, want it refused", name, report, err)
		}
	}
}

func headerOf(t testing.TB, lines [][]byte) (header audit.ExportHeader) {
	t.Helper()
	if err := json.Unmarshal(lines[0], &header); err != nil {
		t.Fatal(err)
	}
	return header
}

func TestVerifyExportSeesEveryFlippedBit(t *testing.T) {
	t.Parallel()
	log := newLog(t, "pay.example/ca", 1)
	sound := bytes.Join(exported(t, log, filled(t, log, 3)), nil)
	for at := range sound {
		for bit := range 8 {
			damaged := bytes.Clone(sound)
			damaged[at] ^= 1 << bit
			if _, report, err := audit.VerifyExport(bytes.NewReader(damaged), log.VerifierKey()); err == nil {
				t.Fatalf("bit %d of byte %d, %q: got %+v, want an error", bit, at, sound[max(0, at-20):at+1], report)
			}
		}
	}
}

func TestExportRefusesADamagedLog(t *testing.T) {
	t.Parallel()
	log := newLog(t, "pay.example/ca", 1)
	for name, damage := range map[string]func(*memory){
		"a leaf changed": func(m *memory) { m.leaves[5] = []byte("{}") },
		"a leaf changed and its hash with it": func(m *memory) {
			m.leaves[5] = []byte("{}")
			m.hashes[tlog.StoredHashIndex(0, 5)] = tlog.RecordHash(m.leaves[5])
		},
		"a leaf that is two lines": func(m *memory) {
			m.leaves[5] = []byte("{\n}")
			m.hashes[tlog.StoredHashIndex(0, 5)] = tlog.RecordHash(m.leaves[5])
		},
		"a tail that is missing": func(m *memory) { m.leaves = m.leaves[:5] },
	} {
		m := filled(t, log, 9)
		damage(m)
		if report, err := audit.Export(t.Context(), io.Discard, m, log.VerifierKey()); !errors.As(err, new(*audit.Corruption)) {
			t.Errorf("%s: got %+v, %v, want the place", name, report, err)
		}
	}
	if report, err := audit.Export(t.Context(), io.Discard, &memory{}, log.VerifierKey()); err == nil {
		t.Errorf("an empty log: got %+v, want an error", report)
	}
}

func TestExportEndsAtTheHeadThatItRead(t *testing.T) {
	t.Parallel()
	log := newLog(t, "pay.example/ca", 1)
	m := filled(t, log, 5)
	g := &growing{memory: m, left: 1, grow: func() {
		if _, err := log.Append(m, audit.Event{Kind: audit.Started}); err != nil {
			t.Error(err)
		}
		if _, err := log.Seal(m); err != nil {
			t.Error(err)
		}
	}}
	var b bytes.Buffer
	if report, err := audit.Export(context.Background(), &b, g, log.VerifierKey()); err != nil || report.Size != 5 {
		t.Fatalf("got %+v, %v, want 5 entries", report, err)
	}
	if _, report, err := audit.VerifyExport(&b, log.VerifierKey()); err != nil || report.Size != 5 {
		t.Errorf("got %+v, %v, want 5 entries", report, err)
	}
}

func FuzzVerifyExport(f *testing.F) {
	log := newLog(f, "pay.example/ca", 1)
	sound := bytes.Join(exported(f, log, filled(f, log, 3)), nil)
	f.Add(sound)
	f.Add([]byte("{}\n"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		if _, _, err := audit.VerifyExport(bytes.NewReader(raw), log.VerifierKey()); err == nil && !bytes.Equal(raw, sound) && len(raw) == len(sound) {
			t.Errorf("got %q accepted", raw)
		}
	})
}
