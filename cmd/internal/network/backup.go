package network

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/payca/payca/ca"
	"github.com/payca/payca/ca/audit"
	"github.com/payca/payca/ca/boltstore"
	"github.com/payca/payca/cmd/internal/api"
	"github.com/payca/payca/cmd/internal/backup"
	"github.com/payca/payca/cmd/internal/config"
	"github.com/payca/payca/enroll/problem"
	"github.com/payca/payca/policy"
)

// A BackupConfig says what to back up and how to seal it.
type BackupConfig struct {
	Dir                string
	Passphrase         []byte // seals the backup
	KeysPassphraseFile string // opens the keys; "" for the configured one or, where that is missing, Passphrase
	WithRootKey        bool   // the root's key too, as encrypted as it lies in Dir
	Now                func() time.Time
}

// Backup writes a sealed backup of the network at rest in cfg.Dir to w, and records that in its audit
// log. *[boltstore.LockedError] if a server has it open.
func Backup(ctx context.Context, cfg BackupConfig, w io.Writer) (m *backup.Manifest, err error) {
	conf, err := LoadConfig(cfg.Dir)
	if err != nil {
		return nil, err
	}
	if err := checkRecovered(cfg.Dir); err != nil {
		return nil, err
	}
	ring, err := keysRing(cfg.Dir, cfg.KeysPassphraseFile, conf, cfg.Passphrase)
	if err != nil {
		return nil, err
	}
	store, err := openStore(ctx, cfg.Dir, conf, ring)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	now := clock(cfg.Now)().UTC()
	if err := store.Append(ctx, audit.Event{Time: now, Kind: audit.BackupMade, Actor: "local"}); err != nil {
		return nil, err
	}
	sealed, err := backup.Seal(w, cfg.Passphrase)
	if err != nil {
		return nil, err
	}
	archive := backup.NewWriter(sealed)
	if err := addFiles(archive, cfg.Dir, cfg.WithRootKey); err != nil {
		return nil, err
	}
	var of boltstore.Snapshot
	err = store.Copy(func(s boltstore.Snapshot) (io.Writer, error) {
		of = s
		return archive.Create(backup.StoreName, s.Octets)
	})
	if err != nil {
		return nil, fmt.Errorf("copying the store: %w", err)
	}
	if m, err = archive.Close(manifestOf(of, conf.Network, now)); err != nil {
		return nil, err
	}
	return m, sealed.Close()
}

// SealArchive writes a sealed backup to w, from the archive that a running server sent. With
// cfg.WithRootKey the root's key is added from cfg.Dir: no server hands it out.
func SealArchive(cfg BackupConfig, sent io.Reader, w io.Writer) (*backup.Manifest, error) {
	sealed, err := backup.Seal(w, cfg.Passphrase)
	if err != nil {
		return nil, err
	}
	archive := backup.NewWriter(sealed)
	m, err := backup.Read(sent, archive.Add)
	if err != nil {
		return nil, fmt.Errorf("reading what the server sent: %w", err)
	}
	if cfg.WithRootKey {
		if err := addFile(archive, backup.RootKeyName, caDir(cfg.Dir).key("root")); err != nil {
			return nil, err
		}
	}
	if m, err = archive.Close(*m); err != nil {
		return nil, err
	}
	return m, sealed.Close()
}

// addFiles adds all members but the store, and the root's key only if it is asked for.
func addFiles(archive *backup.Writer, dir string, withRootKey bool) error {
	files := caDir(dir)
	names := []string{config.FileName}
	for _, path := range []string{
		files.certificate("root"), files.path("root.crl"), files.key("log"), files.path("log.pub"), files.key("token"),
	} {
		names = append(names, "ca/"+filepath.Base(path))
	}
	for _, name := range policy.CAs() {
		names = append(names, "ca/issuers/"+name+".crt", "ca/issuers/"+name+".key")
	}
	if withRootKey {
		names = append(names, backup.RootKeyName)
	}
	for _, name := range names {
		if err := addFile(archive, name, filepath.Join(dir, filepath.FromSlash(name))); err != nil {
			return err
		}
	}
	return nil
}

func addFile(archive *backup.Writer, name, path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	return archive.Add(name, info.Size(), f)
}

func manifestOf(s boltstore.Snapshot, network string, now time.Time) backup.Manifest {
	return backup.Manifest{
		Time: now, Network: network, LogSize: s.LogSize, LogRoot: s.LogRoot.String(),
		CRLNumbers: s.CRLNumbers, Certificates: s.Certificates, Serials: s.Serials,
	}
}

// keysRing opens the passphrase of the keys: of the file, or else the configured one, or else the one given.
func keysRing(dir, file string, conf config.Config, passphrase []byte) (*ca.Keyring, error) {
	ring, err := openRing(dir, file, conf)
	if file == "" && errors.Is(err, fs.ErrNotExist) {
		return ca.NewKeyring(passphrase)
	}
	return ring, err
}

// openStore opens the store of a network that nothing else has open, for what is no work of the authority.
func openStore(ctx context.Context, dir string, conf config.Config, ring *ca.Keyring) (*boltstore.Store, error) {
	path := inDir(dir, conf.Store.Bolt)
	if _, err := os.Stat(path); err != nil {
		return nil, err // boltstore.Open would make one
	}
	key, err := ca.OpenKey(ctx, caDir(dir).key("log"), ring)
	if err != nil {
		return nil, fmt.Errorf("opening the key of the audit log: %w", err)
	}
	if _, ok := key.Public().(ed25519.PublicKey); !ok {
		return nil, fmt.Errorf("the key of the audit log is %T, want Ed25519", key.Public())
	}
	log, err := audit.New(audit.Config{Origin: logOrigin(conf.Network), Signer: key})
	if err != nil {
		return nil, err
	}
	store, err := boltstore.Open(ctx, boltstore.Config{Path: path, Log: log})
	if err != nil {
		return nil, err
	}
	if err := store.Check(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("checking the store: %w", err), store.Close())
	}
	return store, nil
}

func clock(now func() time.Time) func() time.Time {
	if now == nil {
		return time.Now
	}
	return now
}

// backups lets one backup of a running network at a time use the disk.
type backups struct{ mu sync.Mutex }

// A spool is a copy of the store on disk, without a name, from which an archive is made however slowly its reader reads.
type spool struct {
	dir      string
	file     *os.File
	manifest backup.Manifest
	of       boltstore.Snapshot
	done     func()
}

// backup implements api.Config.Backup.
func (n *Network) backup(ctx context.Context, event audit.Event) (_ api.Backup, err error) {
	if !n.backups.mu.TryLock() {
		return nil, &problem.Error{Status: http.StatusConflict, Name: "backup-running", Detail: "another backup is being made, want it to end first"}
	}
	defer func() {
		if err != nil {
			n.backups.mu.Unlock()
		}
	}()
	store, ok := n.store.(interface {
		Copy(begin func(boltstore.Snapshot) (io.Writer, error)) error
	})
	if !ok {
		return nil, fmt.Errorf("a store of type %T cannot be copied", n.store)
	}
	if err := n.store.Append(ctx, event); err != nil {
		return nil, err
	}
	file, err := os.CreateTemp(filepath.Dir(inDir(n.dir, n.config.Store.Bolt)), ".backup-")
	if err != nil {
		return nil, err
	}
	_ = os.Remove(file.Name()) // a crash leaves nothing; where it cannot be removed now, Close does it
	s := &spool{dir: n.dir, file: file, done: n.backups.mu.Unlock}
	err = store.Copy(func(of boltstore.Snapshot) (io.Writer, error) {
		s.of = of
		return file, nil
	})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("copying the store: %w", err), s.release())
	}
	s.manifest = manifestOf(s.of, n.config.Network, n.now().UTC())
	return s, nil
}

// Send implements api.Backup.
func (s *spool) Send(w io.Writer) error {
	if _, err := s.file.Seek(0, io.SeekStart); err != nil {
		return err
	}
	archive := backup.NewWriter(w)
	if err := addFiles(archive, s.dir, false); err != nil {
		return err
	}
	if err := archive.Add(backup.StoreName, s.of.Octets, s.file); err != nil {
		return err
	}
	_, err := archive.Close(s.manifest)
	return err
}

func (s *spool) release() error {
	err := s.file.Close()
	if removed := os.Remove(s.file.Name()); !errors.Is(removed, fs.ErrNotExist) {
		err = errors.Join(err, removed)
	}
	return err
}

// Close implements api.Backup.
func (s *spool) Close() error {
	defer s.done()
	return s.release()
}
