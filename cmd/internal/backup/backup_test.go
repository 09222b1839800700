package backup_test

import (
	"archive/tar"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/payca/payca/ca"
	"github.com/payca/payca/cmd/internal/backup"
)

var passphrase = []byte("correct horse battery staple")

// rounds are few, so that a test can open thousands of files.
const rounds = 10

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func sealed(t testing.TB, plain []byte) []byte {
	t.Helper()
	var file bytes.Buffer
	w, err := backup.SealQuickly(&file, passphrase, rounds)
	must(t, err)
	_, err = w.Write(plain)
	must(t, err)
	must(t, w.Close())
	return file.Bytes()
}

func opened(file, passphrase []byte) ([]byte, error) {
	r, err := backup.Open(bytes.NewReader(file), passphrase)
	if err != nil {
		return nil, err
	}
	return io.ReadAll(r)
}

// pattern is n octets that differ from chunk to chunk.
func pattern(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i>>16 ^ i>>8 ^ i)
	}
	return b
}

func TestWhatWasSealedOpens(t *testing.T) {
	t.Parallel()
	for _, n := range []int{0, 1, 100, backup.ChunkSize - 1, backup.ChunkSize, backup.ChunkSize + 1, 3 * backup.ChunkSize, 3*backup.ChunkSize + 5} {
		file := sealed(t, pattern(n))
		chunks := max(1, (n+backup.ChunkSize-1)/backup.ChunkSize)
		if want := backup.HeaderSize + n + chunks*backup.TagSize; len(file) != want {
			t.Errorf("%d octets: got a file of %d, want %d", n, len(file), want)
		}
		got, err := opened(file, passphrase)
		if err != nil || !bytes.Equal(got, pattern(n)) {
			t.Errorf("%d octets: got %d, %v", n, len(got), err)
		}
	}
}

func TestSealOfOneOctetAfterTheOtherIsTheSame(t *testing.T) {
	t.Parallel()
	var file bytes.Buffer
	w, err := backup.SealQuickly(&file, passphrase, rounds)
	must(t, err)
	for _, b := range pattern(backup.ChunkSize + 3) {
		_, err := w.Write([]byte{b})
		must(t, err)
	}
	must(t, w.Close())
	if _, err := w.Write([]byte{1}); err == nil {
		t.Error("got no error for a write after Close")
	}
	if got, err := opened(file.Bytes(), passphrase); err != nil || !bytes.Equal(got, pattern(backup.ChunkSize+3)) {
		t.Errorf("got %d octets, %v", len(got), err)
	}
}

func TestTheFormatIsThatOfTheKeyFiles(t *testing.T) {
	t.Parallel()
	var file bytes.Buffer
	w, err := backup.Seal(&file, passphrase)
	must(t, err)
	must(t, w.Close())
	if got := binary.BigEndian.Uint32(file.Bytes()[backup.RoundsOffset:]); got != ca.SealRounds {
		t.Errorf("got %d rounds, want %d", got, ca.SealRounds)
	}
	if _, err := backup.Seal(io.Discard, nil); err == nil {
		t.Error("got no error for an empty passphrase")
	}
	if got, err := opened(file.Bytes(), passphrase); err != nil || len(got) != 0 {
		t.Errorf("got %d octets, %v", len(got), err)
	}
}

func TestEveryChangedBitIsRefused(t *testing.T) {
	t.Parallel()
	file := sealed(t, []byte("a small file"))
	for i := range file {
		for bit := range 8 {
			if i == backup.RoundsOffset+1 && testing.Short() {
				continue // up to a million rounds of derivation
			}
			changed := bytes.Clone(file)
			changed[i] ^= 1 << bit
			if got, err := opened(changed, passphrase); err == nil {
				t.Errorf("octet %d, bit %d: got %q, want an error", i, bit, got)
			}
		}
	}
}

func TestEveryTruncationIsRefused(t *testing.T) {
	t.Parallel()
	small := sealed(t, []byte("a small file"))
	for n := range small {
		if got, err := opened(small[:n], passphrase); !isDamage(err) {
			t.Errorf("%d of %d octets: got %q, %v, want *backup.DamageError", n, len(small), got, err)
		}
	}
	const whole = backup.ChunkSize + backup.TagSize
	for _, plain := range []int{3 * backup.ChunkSize, 3*backup.ChunkSize + 9} {
		large := sealed(t, pattern(plain))
		for chunk := range 4 {
			for _, around := range []int{-1, 0, 1, backup.TagSize} {
				n := backup.HeaderSize + chunk*whole + around
				if n >= len(large) {
					continue
				}
				got, err := opened(large[:n], passphrase)
				if !isDamage(err) || !bytes.HasPrefix(pattern(plain), got) {
					t.Errorf("%d of %d octets: got %d, %v, want *backup.DamageError", n, len(large), len(got), err)
				}
			}
		}
		if _, err := opened(append(bytes.Clone(large), 0), passphrase); !isDamage(err) {
			t.Errorf("one octet more: got %v, want *backup.DamageError", err)
		}
	}
}

func isDamage(err error) bool {
	var damage *backup.DamageError
	return errors.As(err, &damage)
}

func TestChunksKeepTheirPlaces(t *testing.T) {
	t.Parallel()
	const whole = backup.ChunkSize + backup.TagSize
	file := sealed(t, pattern(4*backup.ChunkSize))
	head, chunk := file[:backup.HeaderSize], func(i int) []byte { return file[backup.HeaderSize+i*whole:][:whole] }
	other := sealed(t, pattern(4*backup.ChunkSize))
	for name, parts := range map[string][][]byte{
		"two swapped":           {head, chunk(1), chunk(0), chunk(2), chunk(3)},
		"one left out":          {head, chunk(0), chunk(2), chunk(3)},
		"one twice":             {head, chunk(0), chunk(0), chunk(1), chunk(2), chunk(3)},
		"the last one twice":    {head, chunk(0), chunk(1), chunk(2), chunk(3), chunk(3)},
		"the header of another": {other[:backup.HeaderSize], chunk(0), chunk(1), chunk(2), chunk(3)},
	} {
		if _, err := opened(bytes.Join(parts, nil), passphrase); !isDamage(err) {
			t.Errorf("%s: got %v, want *backup.DamageError", name, err)
		}
	}
}

func TestOpenSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	file := sealed(t, []byte("a small file"))
	if _, err := opened(file, []byte("another")); !errors.Is(err, backup.ErrPassphrase) {
		t.Errorf("got %v, want %v", err, backup.ErrPassphrase)
	}
	for text, want := range map[string]string{
		"payca backup 2\nmore": "is a backup of format version 2",
		"payca backup 23\n":    "is a backup of format version 23",
		"payca backup x\n":     "is no backup of payca",
		"-----BEGIN":           "is no backup of payca",
		"SQLite format 3\x00":  "is no backup of payca",
	} {
		var format *backup.FormatError
		if _, err := opened([]byte(text), passphrase); !errors.As(err, &format) || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want *backup.FormatError that says %q", text, err, want)
		}
	}
	for _, n := range []uint32{0, 2_000_001, 1 << 31} {
		binary.BigEndian.PutUint32(file[backup.RoundsOffset:], n)
		if _, err := opened(file, passphrase); !isDamage(err) {
			t.Errorf("%d rounds: got %v, want *backup.DamageError", n, err)
		}
	}
}

// archived is an archive of two members.
func archived(t testing.TB) []byte {
	t.Helper()
	var text bytes.Buffer
	w := backup.NewWriter(&text)
	must(t, w.Add("payca.yaml", 5, strings.NewReader("a: b\n")))
	must(t, w.Add(backup.StoreName, 100_000, bytes.NewReader(pattern(100_000))))
	_, err := w.Close(backup.Manifest{Time: time.Unix(0, 0).UTC(), Network: "pay.example", CRLNumbers: map[string]uint64{"bank": 7, "service": 9}})
	must(t, err)
	return text.Bytes()
}

func read(text []byte) (*backup.Manifest, map[string]int, error) {
	got := map[string]int{}
	m, err := backup.Read(bytes.NewReader(text), func(name string, _ int64, r io.Reader) error {
		n, err := io.Copy(io.Discard, r)
		got[name] = int(n)
		return err
	})
	return m, got, err
}

func TestAnArchiveIsReadAsItWasWritten(t *testing.T) {
	t.Parallel()
	m, got, err := read(archived(t))
	must(t, err)
	if fmt.Sprint(got) != "map[ca/store.db:100000 payca.yaml:5]" || m.Network != "pay.example" || m.HighestCRL() != 9 || len(m.Members) != 2 || m.Format != 1 {
		t.Errorf("got %v and %+v", got, m)
	}
	if _, err := backup.Read(bytes.NewReader(archived(t)), func(string, int64, io.Reader) error { return nil }); err != nil {
		t.Errorf("members that are not read: got %v", err)
	}
}

func TestAnArchiveThatDoesNotFitItsManifestIsRefused(t *testing.T) {
	t.Parallel()
	sound := archived(t)
	for name, change := range map[string]func([]byte) []byte{
		"a member changed":        func(b []byte) []byte { b[512] ^= 1; return b },
		"the store changed":       func(b []byte) []byte { b[50_000] ^= 1; return b },
		"cut in the store":        func(b []byte) []byte { return b[:50_000] },
		"cut before the manifest": func(b []byte) []byte { return b[:bytes.Index(b, []byte(backup.ManifestName))] },
		"cut in the manifest":     func(b []byte) []byte { return b[:len(b)-1024-600] },
		"something after it":      func(b []byte) []byte { return append(b, "more"...) },
		"nothing":                 func([]byte) []byte { return nil },
	} {
		if _, _, err := read(change(bytes.Clone(sound))); !isDamage(err) {
			t.Errorf("%s: got %v, want *backup.DamageError", name, err)
		}
	}
}

// A file is one entry of a tar that no backup.Writer wrote.
type file struct {
	kind       byte
	name, text string
}

func TestAnArchiveWithStrangeMembersIsRefused(t *testing.T) {
	t.Parallel()
	for name, files := range map[string][]file{
		"a path that leads out":   {{tar.TypeReg, "../payca.yaml", ""}},
		"an absolute path":        {{tar.TypeReg, "/payca.yaml", ""}},
		"an unknown member":       {{tar.TypeReg, "ca/passphrase", ""}},
		"a link":                  {{tar.TypeSymlink, "payca.yaml", ""}},
		"a directory":             {{tar.TypeDir, "ca/", ""}},
		"a member twice":          {{tar.TypeReg, "payca.yaml", ""}, {tar.TypeReg, "payca.yaml", ""}},
		"a large member":          {{tar.TypeReg, "payca.yaml", strings.Repeat("a", 4<<20+1)}},
		"a manifest of nothing":   {{tar.TypeReg, "payca.yaml", ""}, {tar.TypeReg, backup.ManifestName, `{"format":1}`}},
		"an unknown word in it":   {{tar.TypeReg, backup.ManifestName, `{"format":1,"word":1}`}},
		"a manifest that is none": {{tar.TypeReg, backup.ManifestName, `format`}},
	} {
		if _, _, err := read(tarOf(t, files)); !isDamage(err) {
			t.Errorf("%s: got %v, want *backup.DamageError", name, err)
		}
	}
	var format *backup.FormatError
	if _, _, err := read(tarOf(t, []file{{tar.TypeReg, backup.ManifestName, `{"format":2}`}})); !errors.As(err, &format) {
		t.Errorf("version 2: got %v, want *backup.FormatError", err)
	}
	if err := backup.NewWriter(io.Discard).Add("ca/passphrase", 0, strings.NewReader("")); err == nil {
		t.Error("got no error for writing a strange member")
	}
}

func tarOf(t testing.TB, files []file) []byte {
	t.Helper()
	var text bytes.Buffer
	w := tar.NewWriter(&text)
	for _, f := range files {
		must(t, w.WriteHeader(&tar.Header{Typeflag: f.kind, Name: f.name, Size: int64(len(f.text)), Linkname: strings.Repeat("x", int(f.kind&2))}))
		_, err := io.WriteString(w, f.text)
		must(t, err)
	}
	must(t, w.Close())
	return text.Bytes()
}

// Whatever opens is what was sealed.
func FuzzOpen(f *testing.F) {
	plain := pattern(backup.ChunkSize + 10)
	file := sealed(f, plain)
	f.Add(file)
	f.Add(file[:backup.HeaderSize])
	f.Add(file[:backup.HeaderSize+backup.ChunkSize+backup.TagSize])
	f.Add([]byte("payca backup 2\n"))
	f.Fuzz(func(t *testing.T, changed []byte) {
		if len(changed) > backup.RoundsOffset+4 && binary.BigEndian.Uint32(changed[backup.RoundsOffset:]) > 1000 {
			return // only slow
		}
		got, err := opened(changed, passphrase)
		if err == nil && !bytes.Equal(got, plain) { // a worker has a file of its own
			t.Errorf("a file of %d octets opens to %d that were never sealed", len(changed), len(got))
		}
	})
}

// Whatever is read fits its manifest, and has no name that leads out.
func FuzzRead(f *testing.F) {
	f.Add(archived(f))
	f.Add(tarOf(f, []file{{tar.TypeReg, "payca.yaml", "a"}}))
	f.Add(tarOf(f, []file{{tar.TypeReg, backup.ManifestName, `{"format":1}`}}))
	f.Fuzz(func(t *testing.T, text []byte) {
		m, got, err := read(text)
		for name := range got {
			if strings.Contains(name, "..") || strings.HasPrefix(name, "/") {
				t.Errorf("member %q is handed out", name)
			}
		}
		if err != nil {
			return
		}
		for _, member := range m.Members {
			if n, ok := got[member.Name]; !ok || int64(n) != member.Size {
				t.Errorf("got %d octets of %s, the manifest has %d", n, member.Name, member.Size)
			}
		}
		if len(got) != len(m.Members) {
			t.Errorf("got %d members, the manifest has %d", len(got), len(m.Members))
		}
	})
}
