package network

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/payca/payca/cmd/internal/backup"
	"github.com/payca/payca/cmd/internal/config"
)

// A RestoreConfig says what to restore, and where to.
type RestoreConfig struct {
	Dir                string    // to be empty or missing
	From               io.Reader // a sealed backup
	Passphrase         []byte    // opens the backup
	KeysPassphraseFile string    // opens the keys; "" for the configured one or, where that is missing, Passphrase
	VerifyOnly         bool      // check all of it, and leave nothing; Dir may hold anything
	Now                func() time.Time
}

// A NotEmptyError refuses to restore into a directory that holds something.
type NotEmptyError struct{ Path string }

// Error names the directory.
func (e *NotEmptyError) Error() string {
	return e.Path + " is not empty, want an empty directory or none"
}

// An InvalidError says that a backup opens, and that what is in it does not hold together.
type InvalidError struct{ Err error }

// Error says what does not.
func (e *InvalidError) Error() string { return "the backup does not hold together: " + e.Err.Error() }

// Unwrap returns the cause.
func (e *InvalidError) Unwrap() error { return e.Err }

// Restore unpacks a backup beside cfg.Dir, checks it, marks it as one that has to be recovered
// before it is served, and only then gives it its place. What fails leaves nothing. Besides the errors of package
// backup: *[NotEmptyError], *[InvalidError], and one that wraps ca.ErrPassphrase if the keys do not open.
func Restore(ctx context.Context, cfg RestoreConfig) (*backup.Manifest, error) {
	dir, err := filepath.Abs(cfg.Dir)
	if err != nil {
		return nil, err
	}
	if err := checkEmpty(dir); err != nil && !cfg.VerifyOnly {
		return nil, err
	}
	parent := filepath.Dir(dir)
	if cfg.VerifyOnly {
		parent = existing(parent)
	}
	if err := os.MkdirAll(parent, 0o700); err != nil {
		return nil, err
	}
	building, err := os.MkdirTemp(parent, ".restoring-")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(building) }()
	m, err := unpack(building, cfg)
	if err != nil {
		return nil, err
	}
	if err := verify(ctx, building, m, cfg); err != nil {
		return nil, err
	}
	if cfg.VerifyOnly {
		return m, nil
	}
	return m, place(building, dir, m, clock(cfg.Now)().UTC())
}

// existing returns the directory, or the nearest one above that exists.
func existing(dir string) string {
	for {
		if _, err := os.Stat(dir); err == nil || dir == filepath.Dir(dir) {
			return dir
		}
		dir = filepath.Dir(dir)
	}
}

func checkEmpty(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil && len(entries) > 0 {
		return &NotEmptyError{Path: dir}
	}
	return err
}

// unpack decrypts the backup into a directory.
func unpack(building string, cfg RestoreConfig) (*backup.Manifest, error) {
	archive, err := backup.Open(cfg.From, cfg.Passphrase)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(caDir(building).path("issuers"), 0o700); err != nil {
		return nil, err
	}
	return backup.Read(archive, func(name string, _ int64, r io.Reader) error {
		f, err := os.OpenFile(filepath.Join(building, filepath.FromSlash(name)), os.O_WRONLY|os.O_CREATE|os.O_EXCL, modeOf(name))
		if err != nil {
			return err
		}
		_, err = io.Copy(f, r)
		return errors.Join(err, f.Close())
	})
}

// modeOf is the mode that Create gives such a file.
func modeOf(name string) os.FileMode {
	switch filepath.Ext(name) {
	case ".crt", ".crl", ".pub":
		return 0o644
	}
	return 0o600
}

// place marks what was unpacked and gives it its place.
func place(building, dir string, m *backup.Manifest, now time.Time) error {
	conf, err := LoadConfig(building)
	if err != nil {
		return err
	}
	if conf.Store.Bolt != backup.StoreName { // the store lies where every store lies by default
		conf.Store.Bolt = backup.StoreName
		text, err := conf.Marshal()
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(building, config.FileName), text, 0o600); err != nil {
			return err
		}
	}
	if err := writeMarker(building, Marker{Restored: now, Backup: m.Time, LogSize: m.LogSize, CRLNumbers: m.CRLNumbers}); err != nil {
		return err
	}
	if err := syncTree(building); err != nil {
		return err
	}
	if err := os.Remove(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return errors.Join(&NotEmptyError{Path: dir}, err)
	}
	if err := os.Rename(building, dir); err != nil {
		return err
	}
	return syncDir(filepath.Dir(dir))
}

func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// A Marker says that a network was restored and not recovered yet. It lies in ca/restored.json.
type Marker struct {
	Restored   time.Time         `json:"restored"`    // when it was restored
	Backup     time.Time         `json:"backup"`      // when the backup was made
	LogSize    uint64            `json:"log_size"`    // entries of the audit log in it
	CRLNumbers map[string]uint64 `json:"crl_numbers"` // used last, by issuer
}

func markerPath(dir string) string { return caDir(dir).path("restored.json") }

func writeMarker(dir string, m Marker) error {
	text, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return err
	}
	return writeNew(markerPath(dir), append(text, '\n'), 0o600)
}

// ReadMarker reads the marker of a restored network, nil if it was recovered or never restored.
func ReadMarker(dir string) (*Marker, error) {
	text, err := os.ReadFile(markerPath(dir))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var m Marker
	if err := json.Unmarshal(text, &m); err != nil {
		return nil, fmt.Errorf("%s: %w", markerPath(dir), err)
	}
	return &m, nil
}

// A RestoredError refuses to use a network that was restored and not recovered.
type RestoredError struct{ Marker Marker }

// Error says since when, and what is missing.
func (e *RestoredError) Error() string {
	return fmt.Sprintf("this network was restored at %s from a backup of %s, want its CRL and log numbers raised first",
		e.Marker.Restored.UTC().Format(time.RFC3339), e.Marker.Backup.UTC().Format(time.RFC3339))
}

// checkRecovered refuses a network that has to be recovered first.
func checkRecovered(dir string) error {
	m, err := ReadMarker(dir)
	if err == nil && m != nil {
		err = &RestoredError{Marker: *m}
	}
	return err
}
