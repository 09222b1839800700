package enroll_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"github.com/payca/payca/ca/catest"
	"github.com/payca/payca/enroll"
	"github.com/payca/payca/policy"
)

// renames is the order in which Save gives its files their names.
var renames = []string{enroll.RootFile, enroll.CertificateFile, enroll.KeyFile, enroll.MetaFile}

func issue(t *testing.T, n *catest.Network, id string) *enroll.Credential {
	t.Helper()
	certificate := n.Issue(t, id)
	return credential(t, n, id, certificate.Certificate, certificate.PrivateKey.(crypto.Signer))
}

func credential(t *testing.T, n *catest.Network, id string, chain [][]byte, key crypto.Signer) *enroll.Credential {
	t.Helper()
	c := &enroll.Credential{
		Identity: policy.Identity{Network: n.Name, Role: policy.Merchant, Party: id},
		URL:      "https://localhost:8443", Key: key, Roots: []*x509.Certificate{n.Root},
	}
	for _, der := range chain {
		parsed, err := x509.ParseCertificate(der)
		must(t, err)
		c.Chain = append(c.Chain, parsed)
	}
	return c
}

// twoCredentials returns two credentials of one party, with different keys.
func twoCredentials(t *testing.T) (first, second *enroll.Credential) {
	t.Helper()
	n := catest.New(t)
	n.Enroll(t, "shop1", policy.Merchant, "shop1.example")
	return issue(t, n, "shop1"), issue(t, n, "shop1")
}

func save(t *testing.T, c *enroll.Credential, dir string) {
	t.Helper()
	_, err := c.Save(dir)
	must(t, err)
}

func isPair(c *enroll.Credential) bool {
	return c.Key.Public().(*ecdsa.PublicKey).Equal(c.Leaf().PublicKey)
}

func contents(t *testing.T, dir string) map[string]string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	must(t, err)
	out := map[string]string{}
	for _, e := range entries {
		raw, err := os.ReadFile(filepath.Join(dir, e.Name()))
		must(t, err)
		out[e.Name()] = string(raw)
	}
	return out
}

func TestSaveAndOpenRoundTrip(t *testing.T) {
	t.Parallel()
	want, _ := twoCredentials(t)
	dir := filepath.Join(t.TempDir(), "deep", "shop1")
	files, err := want.Save(dir)
	must(t, err)
	got, err := enroll.Open(dir)
	must(t, err)
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if named := []string{filepath.Join(dir, enroll.CertificateFile), filepath.Join(dir, enroll.KeyFile), filepath.Join(dir, enroll.RootFile)}; !reflect.DeepEqual(files, named) {
		t.Errorf("got files %v, want %v", files, named)
	}
	for name, mode := range map[string]fs.FileMode{".": 0o700 | fs.ModeDir, enroll.KeyFile: 0o600} {
		info, err := os.Stat(filepath.Join(dir, name))
		must(t, err)
		if info.Mode() != mode {
			t.Errorf("%s has mode %v, want %v", name, info.Mode(), mode)
		}
	}
	if have := contents(t, dir); len(have) != len(renames) {
		t.Errorf("got %d files, want %v", len(have), renames)
	}
}

func TestSaveKeepsTheKeyThatItReplaces(t *testing.T) {
	t.Parallel()
	first, second := twoCredentials(t)
	dir := t.TempDir()
	save(t, first, dir)
	before := contents(t, dir)[enroll.KeyFile]
	save(t, first, dir) // the same key: nothing is put aside
	if have := contents(t, dir); len(have) != len(renames) {
		t.Errorf("got %d files, want %v", len(have), renames)
	}
	save(t, second, dir)
	aside := fmt.Sprintf("key-%x.pem", first.Leaf().SerialNumber)
	if have := contents(t, dir); have[aside] != before || len(have) != len(renames)+1 || have[enroll.KeyFile] == before {
		t.Errorf("the key that was replaced is not in %s", aside)
	}
	info, err := os.Stat(filepath.Join(dir, aside))
	must(t, err)
	if info.Mode() != 0o600 {
		t.Errorf("%s has mode %v, want 0600", aside, info.Mode())
	}
	got, err := enroll.Open(dir)
	if err != nil || !reflect.DeepEqual(got, second) {
		t.Errorf("got %+v, %v, want the second credential", got, err)
	}
}

// crash leaves in a new directory what a crash of next.Save leaves after the
// first n renames. old may be nil.
func crash(t *testing.T, old, next *enroll.Credential, n int) string {
	t.Helper()
	dir, complete := t.TempDir(), t.TempDir()
	if old != nil {
		save(t, old, dir)
		must(t, os.Link(filepath.Join(dir, enroll.KeyFile), filepath.Join(dir, fmt.Sprintf("key-%x.pem", old.Leaf().SerialNumber))))
	}
	save(t, next, complete)
	for i, name := range renames {
		raw, err := os.ReadFile(filepath.Join(complete, name))
		must(t, err)
		target := filepath.Join(dir, name+".new")
		must(t, os.WriteFile(target, raw, 0o600))
		if i < n {
			must(t, os.Rename(target, filepath.Join(dir, name)))
		}
	}
	return dir
}

func TestCrashBetweenRenamesLeavesAPair(t *testing.T) {
	t.Parallel()
	first, second := twoCredentials(t)
	for n := range len(renames) + 1 {
		t.Run(fmt.Sprintf("after %d renames", n), func(t *testing.T) {
			t.Parallel()
			dir := crash(t, first, second, n)
			want := first
			if n > 1 { // the certificate has its name
				want = second
			}
			for range 2 { // what Open repaired stays
				got, err := enroll.Open(dir)
				if err != nil || !isPair(got) || !reflect.DeepEqual(got, want) {
					t.Fatalf("got %+v, %v, want the pair of certificate %x", got, err, want.Leaf().SerialNumber)
				}
			}
			key, err := os.ReadFile(filepath.Join(dir, enroll.KeyFile))
			must(t, err)
			_, err = second.Save(dir)
			must(t, err)
			got, err := enroll.Open(dir)
			if err != nil || !reflect.DeepEqual(got, second) {
				t.Errorf("saving again: got %+v, %v", got, err)
			}
			aside := fmt.Sprintf("key-%x.pem", first.Leaf().SerialNumber)
			if kept := contents(t, dir)[aside]; kept == "" || (n <= 1 && kept != string(key)) {
				t.Errorf("the first key is not in %s", aside)
			}
		})
	}
}

func TestCrashDuringTheFirstSaveIsNoIdentityYet(t *testing.T) {
	t.Parallel()
	first, second := twoCredentials(t)
	for n := range len(renames) {
		t.Run(fmt.Sprintf("after %d renames", n), func(t *testing.T) {
			t.Parallel()
			dir := crash(t, nil, first, n)
			if got, err := enroll.Open(dir); !errors.Is(err, fs.ErrNotExist) {
				t.Fatalf("got %+v, %v, want fs.ErrNotExist", got, err)
			}
			save(t, second, dir)
			if got, err := enroll.Open(dir); err != nil || !reflect.DeepEqual(got, second) {
				t.Errorf("got %+v, %v, want the credential that was saved after the crash", got, err)
			}
		})
	}
}

func TestSaveWithoutOpenAfterACrashLosesNoKey(t *testing.T) {
	t.Parallel()
	n := catest.New(t)
	n.Enroll(t, "shop1", policy.Merchant, "shop1.example")
	first, second, third := issue(t, n, "shop1"), issue(t, n, "shop1"), issue(t, n, "shop1")
	dir := crash(t, first, second, 2)
	pending := contents(t, dir)[enroll.KeyFile+".new"]
	save(t, third, dir)
	if kept := contents(t, dir)[fmt.Sprintf("key-%x.pem", second.Leaf().SerialNumber)]; kept != pending {
		t.Error("the key of the second certificate is gone, or another stands under its serial")
	}
	if got, err := enroll.Open(dir); err != nil || !reflect.DeepEqual(got, third) {
		t.Errorf("got %+v, %v, want the third credential", got, err)
	}
}

func TestSaveKeepsAKeyThatIsNotOurs(t *testing.T) {
	t.Parallel()
	first, second := twoCredentials(t)
	const foreign = "-----BEGIN EC PRIVATE KEY-----\nsomebody's\n-----END EC PRIVATE KEY-----\n"
	kept := func(dir string) (n int) {
		for name, text := range contents(t, dir) {
			if name != enroll.KeyFile && text == foreign {
				n++
			}
		}
		return n
	}
	t.Run("alone in the directory", func(t *testing.T) {
		t.Parallel()
		dir := t.TempDir()
		must(t, os.WriteFile(filepath.Join(dir, enroll.KeyFile), []byte(foreign), 0o600))
		save(t, first, dir)
		save(t, first, dir)
		if n := kept(dir); n != 1 {
			t.Errorf("got it %d times, want once", n)
		}
	})
	t.Run("in the place of the identity's, where another was kept before", func(t *testing.T) {
		t.Parallel()
		dir := t.TempDir()
		save(t, first, dir)
		must(t, os.WriteFile(filepath.Join(dir, fmt.Sprintf("key-%x.pem", first.Leaf().SerialNumber)), []byte("an older key"), 0o600))
		must(t, os.WriteFile(filepath.Join(dir, enroll.KeyFile), []byte(foreign), 0o600))
		save(t, second, dir)
		if n := kept(dir); n != 1 {
			t.Errorf("got it %d times, want once", n)
		}
		if got, err := enroll.Open(dir); err != nil || !reflect.DeepEqual(got, second) {
			t.Errorf("got %+v, %v, want the second credential", got, err)
		}
	})
}

func TestOpenRefuses(t *testing.T) {
	t.Parallel()
	first, second := twoCredentials(t)
	other := t.TempDir()
	save(t, second, other)
	foreign := contents(t, other)[enroll.KeyFile]
	for _, tt := range []struct {
		name, file, content string
		absent              bool // want fs.ErrNotExist
	}{
		{"an identity without its description", enroll.MetaFile, "", true},
		{"a description that is no JSON", enroll.MetaFile, "{", false},
		{"no key", enroll.KeyFile, "", true},
		{"another certificate's key", enroll.KeyFile, foreign, false},
		{"a key that is no PEM", enroll.KeyFile, "key", false},
		{"a certificate for a key", enroll.KeyFile, contents(t, other)[enroll.CertificateFile], false},
		{"a certificate that is no PEM", enroll.CertificateFile, "certificate", false},
		{"a key for a certificate", enroll.CertificateFile, foreign, false},
		{"a root that is no PEM", enroll.RootFile, "root", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			save(t, first, dir)
			path := filepath.Join(dir, tt.file)
			must(t, os.Remove(path))
			if tt.content != "" {
				must(t, os.WriteFile(path, []byte(tt.content), 0o600))
			}
			_, err := enroll.Open(dir)
			if err == nil || errors.Is(err, fs.ErrNotExist) != tt.absent || !bytes.Contains([]byte(err.Error()), []byte(dir)) {
				t.Errorf("got %v, want an error about %s", err, tt.file)
			}
		})
	}
}
