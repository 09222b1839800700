package boltstore

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"time"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/payca/payca/ca"
	"github.com/payca/payca/ca/audit"
)

// lockTimeout is how long Open waits for another process to let go of the file.
const lockTimeout = 300 * time.Millisecond

// schema is the version of the layout. A file of another version is refused.
const schema = 1

// The buckets.
var (
	bucketMeta    = []byte("meta")         // "schema", "head"
	bucketCerts   = []byte("certificates") // index -> record
	bucketSerials = []byte("serials")      // serial -> index
	bucketThumbs  = []byte("thumbprints")  // 8 octets of SHA-256(certificate) + index
	bucketKeys    = []byte("keys")         // 8 octets of SHA-256(SPKI) + index
	bucketByParty = []byte("party-index")  // party, 0, index
	bucketStatus  = []byte("status")       // issuer, 0, serial -> revocation
	bucketIntents = []byte("intents")      // serial -> intent
	bucketParties = []byte("parties")      // id -> party
	bucketTokens  = []byte("tokens")       // id -> token
	bucketCRL     = []byte("crl-numbers")  // issuer -> number
	bucketLeaves  = []byte("log")          // index -> leaf
	bucketHashes  = []byte("log-hashes")   // storage index -> hash
	buckets       = [][]byte{
		bucketMeta, bucketCerts, bucketSerials, bucketThumbs, bucketKeys, bucketByParty, bucketStatus,
		bucketIntents, bucketParties, bucketTokens, bucketCRL, bucketLeaves, bucketHashes,
	}
	keySchema = []byte("schema")
	keyHead   = []byte("head")
)

// Config says which file to open.
type Config struct {
	Path   string       // created with mode 0600 if it does not exist
	Log    *audit.Log   // writes the audit log in every commit
	Logger *slog.Logger // nil for none
	// BeforeCommit, if not nil, is called in every write transaction after its
	// last write; an error makes the commit fail. Tests use it to lose a commit.
	BeforeCommit func() error
}

// A Store is a [ca.Store] in one file.
type Store struct {
	db     *bbolt.DB
	cfg    Config
	writer *writer // nil when read-only
}

var _ ca.Store = (*Store)(nil)

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

// Open opens or creates the file and starts its writer. *[LockedError] if
// another process holds it.
func Open(_ context.Context, cfg Config) (*Store, error) {
	if cfg.Path == "" || cfg.Log == nil {
		return nil, errors.New("boltstore: want Path and Log")
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	db, err := open(cfg.Path, &bbolt.Options{Timeout: lockTimeout, FreelistType: bbolt.FreelistMapType})
	if err != nil {
		return nil, err
	}
	if err := db.Update(prepare); err != nil {
		return nil, errors.Join(fmt.Errorf("preparing %s: %w", cfg.Path, err), db.Close())
	}
	// For the words of a LockedError only; the lock itself is bbolt's.
	if err := os.WriteFile(ownerFile(cfg.Path), []byte(strconv.Itoa(os.Getpid())+"\n"), 0o600); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	s := &Store{db: db, cfg: cfg}
	s.writer = startWriter(s)
	return s, nil
}

// OpenReadOnly opens the file for reading; every write is refused. *[LockedError]
// if a process has it open for writing.
func OpenReadOnly(path string) (*Store, error) {
	if _, err := os.Stat(path); err != nil {
		return nil, err
	}
	db, err := open(path, &bbolt.Options{Timeout: lockTimeout, ReadOnly: true})
	if err != nil {
		return nil, err
	}
	if err := db.View(checkSchema); err != nil {
		return nil, errors.Join(fmt.Errorf("reading %s: %w", path, err), db.Close())
	}
	return &Store{db: db}, nil
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

func prepare(tx *bbolt.Tx) error {
	for _, name := range buckets {
		if _, err := tx.CreateBucketIfNotExists(name); err != nil {
			return err
		}
	}
	meta := tx.Bucket(bucketMeta)
	if meta.Get(keySchema) == nil {
		return meta.Put(keySchema, []byte(strconv.Itoa(schema)))
	}
	return checkSchema(tx)
}

func checkSchema(tx *bbolt.Tx) error {
	meta := tx.Bucket(bucketMeta)
	if meta == nil {
		return errors.New("not a payca store")
	}
	if got := string(meta.Get(keySchema)); got != strconv.Itoa(schema) {
		return fmt.Errorf("schema version %s, this payca reads %d", got, schema)
	}
	return nil
}

// Close waits for queued writes and closes the file.
func (s *Store) Close() error {
	if s.writer == nil {
		return s.db.Close()
	}
	if !s.writer.stop() {
		return nil // closed before
	}
	// The name of the owner goes before the lock, or it could be the next owner's.
	return errors.Join(os.Remove(ownerFile(s.cfg.Path)), s.db.Close())
}

// Check compares what must agree in a sound store: the size and the root in the
// signed head of the audit log, the log's last leaf and the hashes that the next one
// is added to, and the newest certificate.
func (s *Store) Check(context.Context) error {
	if s.cfg.Log == nil {
		return errReadOnly // and has no key to verify the head with
	}
	return s.db.View(func(tx *bbolt.Tx) error {
		size, err := logTx{tx}.Size()
		if err != nil {
			return err
		}
		var head audit.Head
		if signed := tx.Bucket(bucketMeta).Get(keyHead); signed != nil {
			if head, err = audit.ParseHead(signed, s.cfg.Log.VerifierKey()); err != nil {
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
		if last, _ := tx.Bucket(bucketCerts).Cursor().Last(); last != nil && binary.BigEndian.Uint64(last) >= size {
			return fmt.Errorf("certificate at log index %d, the audit log ends at %d: run payca audit verify", binary.BigEndian.Uint64(last), size)
		}
		return nil
	})
}

// number is the big-endian key form of an index.
func number(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }

// getJSON reads a JSON value; ca.ErrNotFound if there is none.
func getJSON(tx *bbolt.Tx, bucket, key []byte, v any) error {
	raw := tx.Bucket(bucket).Get(key)
	if raw == nil {
		return ca.ErrNotFound
	}
	return json.Unmarshal(raw, v)
}

// putJSON writes a JSON value.
func putJSON(tx *bbolt.Tx, bucket, key []byte, v any) error {
	raw, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return tx.Bucket(bucket).Put(key, raw)
}
