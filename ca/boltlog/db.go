package boltlog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/payca/payca/ca/audit"
)

// lockTimeout is how long Open waits for another process to let go of the file.
const lockTimeout = 300 * time.Millisecond

// The buckets that every file has.
var (
	bucketMeta   = []byte("meta")       // "schema", "head"
	bucketLeaves = []byte("log")        // index -> leaf
	bucketHashes = []byte("log-hashes") // storage index -> hash
	keySchema    = []byte("schema")
	keyHead      = []byte("head")
)

// Config says which file to open, and what is in it.
type Config struct {
	Path    string     // created with mode 0600 if it does not exist
	Schema  string     // version of the owner's layout; a file of another is upgraded or refused
	Buckets [][]byte   // the owner's; created if they do not exist
	Log     *audit.Log // writes the audit log in every commit
	// BeforeCommit, if not nil, is called in every write transaction after its
	// last write; an error makes the commit fail. Tests use it to lose a commit.
	BeforeCommit func() error
	// AfterCommit, if not nil, is called when a write transaction is on the disk; its error
	// goes to every caller in it, although what they wrote stays. Tests use it to lose an answer.
	AfterCommit func() error
	// Upgrade, if not nil, changes a file of another schema than Schema. It is called in one transaction
	// after another, with the version that stands, and returns the one that stands then, until that is Schema;
	// each is committed, so an upgrade that was cut off goes on where it was. A version that it does not
	// know it refuses with a *[SchemaError].
	Upgrade func(tx *bbolt.Tx, from string) (to string, err error)
	// NoSync leaves the disk to the operating system: a crash of the machine can lose
	// what was committed. For measuring alone.
	NoSync bool
}

// A DB is an open file. It is safe for concurrent use.
type DB struct {
	db     *bbolt.DB
	cfg    Config
	writer *writer // nil when read-only
}

// A LockedError says that another process has the file open.
type LockedError struct {
	Path  string
	Owner int // process id of the owner, 0 if it is not known
}

// Error says who holds the file.
func (e *LockedError) Error() string {
	who := "another process"
	if e.Owner != 0 {
		who = "process " + strconv.Itoa(e.Owner)
	}
	return e.Path + " is in use by " + who + ", want it to be closed first"
}

// A SchemaError refuses a file whose layout has another version.
type SchemaError struct {
	Got, Want string
}

// Error says which version the file has and which is read.
func (e *SchemaError) Error() string {
	return fmt.Sprintf("schema version %s, this payca reads %s", e.Got, e.Want)
}

// Open opens or creates the file and starts its writer. *[LockedError] if
// another process holds it.
func Open(cfg Config) (*DB, error) {
	if cfg.Path == "" || cfg.Log == nil || cfg.Schema == "" {
		return nil, errors.New("opening a store: want Path, Schema and Log")
	}
	db, err := open(cfg.Path, &bbolt.Options{Timeout: lockTimeout, FreelistType: bbolt.FreelistMapType, NoSync: cfg.NoSync})
	if err != nil {
		return nil, err
	}
	d := &DB{db: db, cfg: cfg}
	if err := d.prepare(); err != nil {
		return nil, errors.Join(fmt.Errorf("preparing %s: %w", cfg.Path, err), db.Close())
	}
	// For the words of a LockedError only; the lock itself is bbolt's.
	if err := os.WriteFile(ownerFile(cfg.Path), []byte(strconv.Itoa(os.Getpid())+"\n"), 0o600); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	d.writer = startWriter(d)
	return d, nil
}

// OpenReadOnly opens the file for reading; every write is refused. *[LockedError]
// if a process has it open for writing.
func OpenReadOnly(path, schema string) (*DB, error) {
	if _, err := os.Stat(path); err != nil {
		return nil, err
	}
	db, err := open(path, &bbolt.Options{Timeout: lockTimeout, ReadOnly: true})
	if err != nil {
		return nil, err
	}
	d := &DB{db: db, cfg: Config{Path: path, Schema: schema}}
	if err := db.View(d.checkSchema); err != nil {
		return nil, errors.Join(fmt.Errorf("reading %s: %w", path, err), db.Close())
	}
	return d, nil
}

func open(path string, options *bbolt.Options) (*bbolt.DB, error) {
	db, err := bbolt.Open(path, 0o600, options)
	if errors.Is(err, berrors.ErrTimeout) {
		locked := &LockedError{Path: path}
		if raw, err := os.ReadFile(ownerFile(path)); err == nil {
			locked.Owner, _ = strconv.Atoi(strings.TrimSpace(string(raw)))
		}
		return nil, locked
	}
	if err != nil {
		return nil, fmt.Errorf("opening %s: %w", path, err)
	}
	return db, nil
}

func ownerFile(path string) string { return path + ".pid" }

// prepare makes an empty file one of this schema, and upgrades an older one.
func (d *DB) prepare() error {
	for done := false; !done; {
		err := d.db.Update(func(tx *bbolt.Tx) (err error) {
			done, err = d.prepareStep(tx)
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// prepareStep is one transaction of prepare; done if it was the last.
func (d *DB) prepareStep(tx *bbolt.Tx) (done bool, err error) {
	for _, name := range append([][]byte{bucketMeta, bucketLeaves, bucketHashes}, d.cfg.Buckets...) {
		if _, err := tx.CreateBucketIfNotExists(name); err != nil {
			return false, err
		}
	}
	meta := tx.Bucket(bucketMeta)
	from := string(meta.Get(keySchema))
	switch {
	case from == d.cfg.Schema:
		return true, nil
	case from == "":
		return true, meta.Put(keySchema, []byte(d.cfg.Schema))
	case d.cfg.Upgrade == nil:
		return false, &SchemaError{Got: from, Want: d.cfg.Schema}
	}
	to, err := d.cfg.Upgrade(tx, from)
	if err == nil && d.cfg.BeforeCommit != nil {
		err = d.cfg.BeforeCommit()
	}
	if err != nil {
		return false, err
	}
	return to == d.cfg.Schema, meta.Put(keySchema, []byte(to))
}

func (d *DB) checkSchema(tx *bbolt.Tx) error {
	meta := tx.Bucket(bucketMeta)
	if meta == nil {
		return errors.New("not a payca store")
	}
	if got := string(meta.Get(keySchema)); got != d.cfg.Schema {
		return &SchemaError{Got: got, Want: d.cfg.Schema}
	}
	return nil
}

// Close waits for queued writes and closes the file.
func (d *DB) Close() error {
	if d.writer == nil {
		return d.db.Close()
	}
	if !d.writer.stop() {
		return nil // closed before
	}
	// The name of the owner goes before the lock, or it could be the next owner's.
	return errors.Join(os.Remove(ownerFile(d.cfg.Path)), d.db.Close())
}

// View runs read in a transaction of its own; what it got from the transaction ends with it.
func (d *DB) View(read func(tx *bbolt.Tx) error) error { return d.db.View(read) }

// Check compares what must agree in a sound log: the size and the root in the
// signed head, the last leaf, and the hashes that the next leaf is added to. owner, if not
// nil, checks the owner's records in the same transaction against the number of leaves.
func (d *DB) Check(owner func(tx *bbolt.Tx, size uint64) error) error {
	if d.cfg.Log == nil {
		return errReadOnly // and has no key to verify the head with
	}
	return d.db.View(func(tx *bbolt.Tx) error {
		size, err := logTx{tx}.Size()
		if err != nil {
			return err
		}
		var head audit.Head
		if signed := tx.Bucket(bucketMeta).Get(keyHead); signed != nil {
			if head, err = audit.ParseHead(signed, d.cfg.Log.VerifierKey()); err != nil {
				return err
			}
		}
		if head.Size != size {
			return fmt.Errorf("audit log has %d entries, its signed head counts %d: run payca audit verify", size, head.Size)
		}
		root, err := tlog.TreeHash(int64(size), logTx{tx})
		if err != nil {
			return fmt.Errorf("reading the root of the audit log: %w", err)
		}
		if size > 0 && root != head.Root {
			return fmt.Errorf("audit log has root %s, its signed head %s: run payca audit verify", root, head.Root)
		}
		if owner == nil {
			return nil
		}
		return owner(tx, size)
	})
}

// number is the big-endian key form of an index.
func number(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }
