package network_test

import (
	"bytes"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/payca/payca/ca"
	"github.com/payca/payca/ca/audit"
	"github.com/payca/payca/ca/boltstore"
	"github.com/payca/payca/cmd/internal/api"
	"github.com/payca/payca/cmd/internal/backup"
	"github.com/payca/payca/cmd/internal/network"
	"github.com/payca/payca/enroll"
	"github.com/payca/payca/enroll/problem"
	"github.com/payca/payca/policy"
)

// secret seals the backups of tests.
var secret = []byte("seals the backups of tests")

// a resting network, and the passphrase of its keys.
func resting(t testing.TB) (dir, passphraseFile string) {
	t.Helper()
	dir = t.TempDir()
	created, err := network.Create(t.Context(), network.CreateConfig{Dir: dir, Config: configure(t)})
	must(t, err)
	return dir, created.PassphraseFile
}

// members unpacks a sealed backup.
func members(t testing.TB, sealed []byte) (map[string][]byte, *backup.Manifest) {
	t.Helper()
	archive, err := backup.Open(bytes.NewReader(sealed), secret)
	must(t, err)
	found := map[string][]byte{}
	m, err := backup.Read(archive, func(name string, _ int64, r io.Reader) error {
		found[name], err = io.ReadAll(r)
		return err
	})
	must(t, err)
	return found, m
}

// pack makes a sealed backup of members, whatever they hold.
func pack(t testing.TB, found map[string][]byte, m backup.Manifest) []byte {
	t.Helper()
	var sealed bytes.Buffer
	w, err := backup.Seal(&sealed, secret)
	must(t, err)
	archive := backup.NewWriter(w)
	for name, text := range found {
		must(t, archive.Add(name, int64(len(text)), bytes.NewReader(text)))
	}
	_, err = archive.Close(m)
	must(t, err)
	must(t, w.Close())
	return sealed.Bytes()
}

// names lists what is in a directory.
func names(t testing.TB, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	must(t, err)
	var found []string
	for _, e := range entries {
		found = append(found, e.Name())
	}
	return found
}

func TestABackupAtRestHoldsAllButTheRootKey(t *testing.T) {
	t.Parallel()
	dir, _ := resting(t)
	for _, withRootKey := range []bool{false, true} {
		var sealed bytes.Buffer
		m, err := network.Backup(t.Context(), network.BackupConfig{Dir: dir, Passphrase: secret, WithRootKey: withRootKey}, &sealed)
		must(t, err)
		found, read := members(t, sealed.Bytes())
		if fmt.Sprint(m) != fmt.Sprint(read) || m.Network != "pay.example" || m.Certificates != 1 || m.LogSize < 4 {
			t.Errorf("got manifest %+v, then %+v", m, read)
		}
		if _, has := found[backup.RootKeyName]; has != withRootKey {
			t.Errorf("the root's key is in it: %t, want %t", has, withRootKey)
		}
		for _, name := range policy.CAs() {
			for _, kind := range []string{".crt", ".key"} {
				if len(found["ca/issuers/"+name+kind]) == 0 {
					t.Errorf("no %s%s", name, kind)
				}
			}
		}
		if got, want := len(found), 17; got != want && !withRootKey {
			t.Errorf("got %d members, want %d", got, want)
		}
		for name, text := range found {
			if bytes.Contains(text, []byte("-----BEGIN PRIVATE KEY")) || strings.Contains(name, "passphrase") {
				t.Errorf("%s is a secret in clear", name)
			}
		}
	}
}

// What opens with the right passphrase is still checked, member against member; and what fails leaves nothing.
func TestRestoreRefusesWhatDoesNotHoldTogether(t *testing.T) {
	t.Parallel()
	dir, passphraseFile := resting(t)
	other, _ := resting(t)
	var sealed, foreign bytes.Buffer
	_, err := network.Backup(t.Context(), network.BackupConfig{Dir: dir, Passphrase: secret}, &sealed)
	must(t, err)
	_, err = network.Backup(t.Context(), network.BackupConfig{Dir: other, Passphrase: secret}, &foreign)
	must(t, err)
	_, manifest := members(t, sealed.Bytes())
	strange, _ := members(t, foreign.Bytes())
	for name, change := range map[string]func(found map[string][]byte, m *backup.Manifest){
		"two keys swapped": func(found map[string][]byte, _ *backup.Manifest) {
			found["ca/issuers/bank.key"], found["ca/issuers/merchant.key"] = found["ca/issuers/merchant.key"], found["ca/issuers/bank.key"]
		},
		"another root":           func(found map[string][]byte, _ *backup.Manifest) { found["ca/root.crt"] = strange["ca/root.crt"] },
		"another root's CRL":     func(found map[string][]byte, _ *backup.Manifest) { found["ca/root.crl"] = strange["ca/root.crl"] },
		"another log's key":      func(found map[string][]byte, _ *backup.Manifest) { found["ca/log.pub"] = strange["ca/log.pub"] },
		"another store":          func(found map[string][]byte, _ *backup.Manifest) { found["ca/store.db"] = strange["ca/store.db"] },
		"a store that is none":   func(found map[string][]byte, _ *backup.Manifest) { found["ca/store.db"] = []byte("none") },
		"no store":               func(found map[string][]byte, _ *backup.Manifest) { delete(found, "ca/store.db") },
		"no configuration":       func(found map[string][]byte, _ *backup.Manifest) { delete(found, "payca.yaml") },
		"no token key":           func(found map[string][]byte, _ *backup.Manifest) { delete(found, "ca/token.key") },
		"a longer log":           func(_ map[string][]byte, m *backup.Manifest) { m.LogSize++ },
		"another root of it":     func(_ map[string][]byte, m *backup.Manifest) { m.LogRoot = "" },
		"one certificate less":   func(_ map[string][]byte, m *backup.Manifest) { m.Certificates++ },
		"another network's name": func(_ map[string][]byte, m *backup.Manifest) { m.Network = "other.example" },
	} {
		if testing.Short() && !slices.Contains([]string{"two keys swapped", "another store", "a longer log"}, name) {
			continue // each derives three keys from passphrases
		}
		found, m := members(t, sealed.Bytes())
		change(found, m)
		parent := t.TempDir()
		_, err := network.Restore(t.Context(), network.RestoreConfig{
			Dir: filepath.Join(parent, "restored"), From: bytes.NewReader(pack(t, found, *m)), Passphrase: secret, KeysPassphraseFile: passphraseFile,
		})
		var invalid *network.InvalidError
		if !errors.As(err, &invalid) {
			t.Errorf("%s: got %v, want *network.InvalidError", name, err)
		}
		if left := names(t, parent); len(left) > 0 {
			t.Errorf("%s: left %q", name, left)
		}
	}
	_, err = network.Restore(t.Context(), network.RestoreConfig{
		Dir: filepath.Join(t.TempDir(), "a", "b"), From: bytes.NewReader(sealed.Bytes()), Passphrase: secret, KeysPassphraseFile: passphraseFile,
	})
	if err != nil || manifest.Certificates != 1 {
		t.Errorf("unchanged: got %v", err)
	}
}

func TestRestoreRefusesACertificateThatTheCANeverSigned(t *testing.T) {
	t.Parallel()
	dir, passphraseFile := resting(t)
	passphrase, err := network.ReadPassphrase(passphraseFile)
	must(t, err)
	ring, err := ca.NewKeyring(passphrase)
	must(t, err)
	key, err := ca.OpenKey(t.Context(), filepath.Join(dir, "ca", "log.key"), ring)
	must(t, err)
	log, err := audit.New(audit.Config{Origin: "pay.example/ca", Signer: key})
	must(t, err)
	store, err := boltstore.Open(t.Context(), boltstore.Config{Path: filepath.Join(dir, "ca", "store.db"), Log: log})
	must(t, err)
	root, err := enroll.ReadCertificates(filepath.Join(dir, "ca", "root.crt"))
	must(t, err)
	serial, err := ca.SerialOf(root[0].SerialNumber)
	must(t, err)
	must(t, store.Reserve(t.Context(), ca.Intent{Serial: serial, Issuer: policy.ServiceCA}))
	_, err = store.Issue(t.Context(), ca.Issuance{
		Record: ca.Record{Serial: serial, Issuer: policy.ServiceCA, DER: root[0].Raw},
		Event:  audit.Event{Kind: audit.CertificateIssued, Serial: serial.String()},
	})
	must(t, err)
	must(t, store.Close())
	var sealed bytes.Buffer
	_, err = network.Backup(t.Context(), network.BackupConfig{Dir: dir, Passphrase: secret}, &sealed)
	must(t, err)
	_, err = network.Restore(t.Context(), network.RestoreConfig{
		Dir: t.TempDir(), From: &sealed, Passphrase: secret, KeysPassphraseFile: passphraseFile,
	})
	if err == nil || !strings.Contains(err.Error(), "not signed by the service CA") {
		t.Errorf("got %v, want that the service CA did not sign it", err)
	}
}

// Every backup that is made while others write is whole.
func TestABackupWhileTheServerWritesIsConsistent(t *testing.T) {
	t.Parallel()
	r := start(t)
	stop := make(chan struct{})
	var writers sync.WaitGroup
	for w := range 3 {
		writers.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
					r.register(t, fmt.Sprintf("shop%d-%d", w, i), policy.Merchant)
				}
			}
		})
	}
	sizes := []uint64{}
	for range 3 {
		sent, err := r.operator.Backup(t.Context())
		must(t, err)
		var sealed bytes.Buffer
		_, err = network.SealArchive(network.BackupConfig{Passphrase: secret}, sent, &sealed)
		must(t, err)
		must(t, sent.Close())
		m, err := network.Restore(t.Context(), network.RestoreConfig{
			Dir: r.dir, From: &sealed, Passphrase: secret, KeysPassphraseFile: filepath.Join(r.dir, "ca", "passphrase"), VerifyOnly: true,
		})
		must(t, err)
		sizes = append(sizes, m.LogSize)
	}
	close(stop)
	writers.Wait()
	if !slices.IsSorted(sizes) || sizes[0] == sizes[2] {
		t.Errorf("got logs of %d, want them to grow", sizes)
	}
	if left := names(t, filepath.Join(r.dir, "ca")); slices.ContainsFunc(left, func(name string) bool { return strings.HasPrefix(name, ".") }) {
		t.Errorf("left %q", left)
	}
}

func TestOneOperatorAtATimeGetsABackup(t *testing.T) {
	t.Parallel()
	r := start(t)
	for role, id := range map[policy.Role]string{policy.Auditor: "auditor1", policy.Merchant: "shop1"} {
		credential, err := enroll.Open(r.enroll(t, id, role))
		must(t, err)
		if status, name := r.request(t, credential.TLS(), http.MethodGet, "/v1/backup", "", nil); status != 403 || name != "wrong-role" {
			t.Errorf("%s: got %d %s, want 403 wrong-role", role, status, name)
		}
	}
	first, err := r.network.TakeBackup(t.Context()) // and nobody reads it
	must(t, err)
	_, err = r.operator.Backup(t.Context())
	var refused *problem.Problem
	if !errors.As(err, &refused) || refused.Name() != "backup-running" {
		t.Errorf("a second one: got %v, want backup-running", err)
	}
	r.register(t, "meanwhile", policy.Merchant)
	must(t, first.Close())
	sent, err := r.operator.Backup(t.Context())
	must(t, err)
	must(t, sent.Close())
}

// The caller must not take the beginning of a backup for the whole of it.
func TestABackupThatBreaksOffIsNoBackup(t *testing.T) {
	t.Parallel()
	r := start(t)
	must(t, os.Remove(filepath.Join(r.dir, "ca", "issuers", "service.key"))) // the last but the store
	sent, err := r.operator.Backup(t.Context())
	if err == nil {
		var sealed bytes.Buffer
		_, err = network.SealArchive(network.BackupConfig{Passphrase: secret}, sent, &sealed)
		must(t, sent.Close())
	}
	if err == nil {
		t.Error("got no error")
	}
	if sent, err := r.network.TakeBackup(t.Context()); err != nil {
		t.Errorf("the next one: got %v", err)
	} else {
		must(t, sent.Close())
	}
}

// A revocation that the backup does not know comes back with the CRL that has it.
func TestRecoverTakesTheLastCRLOver(t *testing.T) {
	t.Parallel()
	r := start(t)
	passphraseFile := filepath.Join(r.dir, "ca", "passphrase")
	shop := r.enroll(t, "shop1", policy.Merchant)
	sent, err := r.operator.Backup(t.Context())
	must(t, err)
	var sealed bytes.Buffer
	m, err := network.SealArchive(network.BackupConfig{Passphrase: secret}, sent, &sealed)
	must(t, err)
	late := r.enroll(t, "shop2", policy.Merchant)
	var serials []ca.Serial
	for _, dir := range []string{shop, late} {
		credential, err := enroll.Open(dir)
		must(t, err)
		serial, err := ca.SerialOf(credential.Leaf().SerialNumber)
		must(t, err)
		serials = append(serials, serial)
		_, err = r.operator.Revoke(t.Context(), api.RevocationRequest{Selection: api.Selection{Serial: serial.String(), All: true}, Reason: "superseded"})
		must(t, err)
	}
	block, _ := pem.Decode([]byte(r.download(t, "/crl/merchant.crl", "X509 CRL")))

	dir := filepath.Join(t.TempDir(), "restored")
	_, err = network.Restore(t.Context(), network.RestoreConfig{Dir: dir, From: &sealed, Passphrase: secret, KeysPassphraseFile: passphraseFile})
	must(t, err)
	var restored *network.RestoredError
	if _, err := network.Open(t.Context(), network.Config{Dir: dir, PassphraseFile: passphraseFile}); !errors.As(err, &restored) || restored.Marker.LogSize != m.LogSize {
		t.Errorf("opening it: got %v, want *network.RestoredError", err)
	}
	marker, err := os.ReadFile(filepath.Join(dir, "ca", "restored.json"))
	must(t, err)
	cfg := network.RecoverConfig{Dir: dir, PassphraseFile: passphraseFile, CRLs: [][]byte{block.Bytes}}
	got, err := network.Recover(t.Context(), cfg)
	must(t, err)
	if got.Revoked != 2 || got.Known != 0 || got.CRLNumbers["merchant"] <= m.CRLNumbers["merchant"] || got.CRLNumbers["bank"] != m.CRLNumbers["bank"] {
		t.Errorf("got %+v, want 2 revoked and the merchant CA's number raised above %v", got, m.CRLNumbers)
	}
	// As if it was cut off before it could take the marker away.
	must(t, os.WriteFile(filepath.Join(dir, "ca", "restored.json"), marker, 0o600))
	if got, err = network.Recover(t.Context(), cfg); err != nil || got.Revoked != 0 || got.Known != 2 {
		t.Errorf("again: got %+v, %v, want 2 known", got, err)
	}
	store, err := boltstore.OpenReadOnly(filepath.Join(dir, "ca", "store.db"))
	must(t, err)
	defer func() { must(t, store.Close()) }()
	for _, serial := range serials {
		status, err := store.Status(t.Context(), policy.MerchantCA, serial)
		if err != nil || status.Revocation == nil || status.Revocation.Reason != ca.Superseded {
			t.Errorf("%s: got %+v, %v, want it revoked as superseded", serial, status, err)
		}
	}
}
