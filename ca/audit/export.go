package audit

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"golang.org/x/mod/sumdb/tlog"
)

// ExportFormat is the version of the form of an export: JSON lines, an
// [ExportHeader] and then one object with index, hash and leaf for each entry. A
// line has one spelling, which [Export] writes and [VerifyExport] wants.
const ExportFormat = "payca-audit-1"

// maxLine bounds one line of an export.
const maxLine = 16 << 20

// An ExportHeader is the first line of an export.
type ExportHeader struct {
	Format string `json:"format"` // ExportFormat
	Origin string `json:"origin"` // whose log
	Key    string `json:"key"`    // verifier key of the head, as the log gave it
	Head   string `json:"head"`   // the signed head
	Size   uint64 `json:"size"`   // number of entries
}

// Export writes the log up to its newest head, in bounded memory. The entries are
// proved while they are written: *[Corruption] for the first bad place, and what was written is
// then no export. An empty log has nothing to export.
func Export(ctx context.Context, w io.Writer, r Reader, verifierKey string) (Report, error) {
	signed, err := r.Head(ctx)
	if err != nil {
		return Report{}, fmt.Errorf("reading the head of the audit log: %w", err)
	}
	if len(signed) == 0 {
		return Report{}, errors.New("the audit log has no signed head, want at least one entry")
	}
	head, err := ParseHead(signed, verifierKey)
	if err != nil {
		return Report{}, err
	}
	out := bufio.NewWriterSize(w, 64<<10)
	header := ExportHeader{Format: ExportFormat, Origin: head.Origin, Key: verifierKey, Head: string(signed), Size: head.Size}
	raw, err := json.Marshal(header)
	if err != nil {
		return Report{}, fmt.Errorf("encoding the header of the export: %w", err)
	}
	_, _ = out.Write(append(raw, '\n')) // Flush returns the error
	var tree frontier
	for tree.size < head.Size {
		first := tree.size
		leaves, err := r.Leaves(ctx, first, int(min(verifyBatch, head.Size-first)))
		if err != nil {
			return Report{}, fmt.Errorf("reading audit entries from %d: %w", first, err)
		}
		if len(leaves) == 0 {
			return Report{}, missing(first, head)
		}
		leaves = leaves[:min(uint64(len(leaves)), head.Size-first)]
		if err := tree.add(ctx, r, leaves); err != nil {
			return Report{}, err
		}
		for i, leaf := range leaves {
			index := first + uint64(i)
			if !json.Valid(leaf) || bytes.ContainsAny(leaf, "\r\n") {
				return Report{}, &Corruption{Index: index, What: "is not one line of JSON"}
			}
			_, _ = out.Write(exportLine(index, leaf))
		}
	}
	if err := head.wantRoot(tree); err != nil {
		return Report{}, err
	}
	if err := out.Flush(); err != nil {
		return Report{}, fmt.Errorf("writing the export: %w", err)
	}
	return Report{Size: tree.size, Root: tree.root()}, nil
}

// exportLine is the line of an entry.
func exportLine(index uint64, leaf []byte) []byte {
	line := fmt.Appendf(nil, `{"index":%d,"hash":%q,"leaf":`, index, tlog.RecordHash(leaf).String())
	return append(append(line, leaf...), "}\n"...)
}

// missing says that the log ends before its head does.
func missing(index uint64, head Head) error {
	return &Corruption{Index: index, What: fmt.Sprintf("is missing: the signed head counts %d entries", head.Size)}
}

// VerifyExport reads an export and proves it as [Verify] proves a log, in bounded
// memory and with nothing else at hand. With verifierKey "" the export's own key is taken, which
// proves only that the export agrees with itself. It returns *[HeadError] for a head that
// the key did not sign, and *[Corruption] for the first bad line.
func VerifyExport(r io.Reader, verifierKey string) (ExportHeader, Report, error) {
	return VerifyExportAgainst(r, verifierKey, Head{})
}

// VerifyExportAgainst is to VerifyExport what [VerifyAgainst] is to [Verify].
func VerifyExportAgainst(r io.Reader, verifierKey string, witnessed Head) (ExportHeader, Report, error) {
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 64<<10), maxLine)
	lines.Split(wholeLines)
	header, head, err := readExportHeader(lines, verifierKey)
	if err != nil {
		return ExportHeader{}, Report{}, err
	}
	if err := head.wantSince(witnessed); err != nil {
		return ExportHeader{}, Report{}, err
	}
	tree := frontier{watch: witnessed.Size}
	for lines.Scan() {
		if tree.size == head.Size {
			return ExportHeader{}, Report{}, &Corruption{Index: tree.size, What: fmt.Sprintf("is past the end that the signed head gives, %d entries", head.Size)}
		}
		hash, err := readExportLine(lines.Bytes(), tree.size)
		if err != nil {
			return ExportHeader{}, Report{}, err
		}
		tree.push(hash)
	}
	if err := lines.Err(); err != nil {
		return ExportHeader{}, Report{}, fmt.Errorf("reading the export at entry %d: %w", tree.size, err)
	}
	if tree.size < head.Size {
		return ExportHeader{}, Report{}, missing(tree.size, head)
	}
	if err := head.wantRoot(tree); err != nil {
		return ExportHeader{}, Report{}, err
	}
	if witnessed.Size > 0 && tree.watched != witnessed.Root {
		return ExportHeader{}, Report{}, &ForkError{Old: witnessed, New: head}
	}
	return header, Report{Size: tree.size, Root: tree.root()}, nil
}

// wholeLines splits like bufio.ScanLines and keeps the line feeds.
func wholeLines(data []byte, atEOF bool) (advance int, token []byte, err error) {
	if i := bytes.IndexByte(data, '\n'); i >= 0 {
		return i + 1, data[:i+1], nil
	}
	if atEOF && len(data) > 0 {
		return len(data), data, nil
	}
	return 0, nil, nil
}

func readExportHeader(lines *bufio.Scanner, verifierKey string) (header ExportHeader, head Head, err error) {
	if !lines.Scan() && lines.Err() != nil {
		return header, head, fmt.Errorf("reading the header of the export: %w", lines.Err())
	}
	line := lines.Bytes()
	if err := json.Unmarshal(line, &header); err != nil || header.Format != ExportFormat {
		return header, head, headErrorf("the first line is not the header of an export, want one with format %q", ExportFormat)
	}
	want, err := json.Marshal(header)
	if err != nil {
		return header, head, err
	}
	if !bytes.Equal(line, append(want, '\n')) {
		return header, head, headErrorf("the header of the export is not as payca writes it, want %s", want)
	}
	if verifierKey == "" {
		verifierKey = header.Key
	}
	if header.Key != verifierKey {
		return header, head, headErrorf("the export gives key %s, want %s", header.Key, verifierKey)
	}
	head, err = ParseHead([]byte(header.Head), verifierKey)
	if err != nil {
		return header, head, err
	}
	if header.Origin != head.Origin || header.Size != head.Size {
		return header, head, headErrorf("the export says %s with %d entries, its signed head %s with %d", header.Origin, header.Size, head.Origin, head.Size)
	}
	return header, head, nil
}

// readExportLine returns the hash of the entry in a line that has to be of this index.
func readExportLine(line []byte, index uint64) (hash tlog.Hash, err error) {
	var entry struct {
		Index *uint64         `json:"index"`
		Hash  string          `json:"hash"`
		Leaf  json.RawMessage `json:"leaf"`
	}
	bad := func(format string, args ...any) (tlog.Hash, error) {
		return tlog.Hash{}, &Corruption{Index: index, What: fmt.Sprintf(format, args...)}
	}
	if !bytes.HasSuffix(line, []byte("\n")) {
		return bad("is cut off: its line has no end")
	}
	if err := json.Unmarshal(line, &entry); err != nil || entry.Index == nil || entry.Leaf == nil {
		return bad("is not a line of an export: want index, hash and leaf")
	}
	hash = tlog.RecordHash(entry.Leaf)
	switch {
	case *entry.Index > index:
		return bad("is missing: entry %d stands in its place", *entry.Index)
	case *entry.Index < index:
		return bad("is not there: entry %d stands in its place, moved or repeated", *entry.Index)
	case hash.String() != entry.Hash:
		return bad("differs from its hash: it was changed")
	case !bytes.Equal(line, exportLine(index, entry.Leaf)):
		return bad("is not written as payca writes it: the line was changed")
	}
	return hash, nil
}
