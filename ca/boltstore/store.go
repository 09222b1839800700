package boltstore

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"

	"go.etcd.io/bbolt"

	"github.com/payca/payca/ca"
	"github.com/payca/payca/ca/audit"
	"github.com/payca/payca/ca/boltlog"
)

// schema is the version of the layout. A file of an older version is upgraded, see upgrade.go;
// one of a newer version is refused.
const schema = "6"

// The buckets.
var (
	bucketCerts   = []byte("certificates")  // index -> record
	bucketSerials = []byte("serials")       // serial -> index, issuer
	bucketThumbs  = []byte("thumbprints")   // 8 octets of SHA-256(certificate) + index
	bucketKeys    = []byte("keys")          // 8 octets of SHA-256(SPKI) + index
	bucketByParty = []byte("party-index")   // party, 0, index -> not after
	bucketKinds   = []byte("kinds")         // issuer, 0, profile, 0, role, 0, use -> kind, 2 octets
	bucketByKind  = []byte("kind-index")    // kind, index -> not after
	bucketExpiry  = []byte("expiry-index")  // kind, not after, index
	bucketNames   = []byte("name-index")    // 8 octets of SHA-256(alternative name) + index
	bucketRevoked = []byte("revoked")       // index of what is revoked -> not after
	bucketStatus  = []byte("status")        // issuer, 0, serial -> revocation
	bucketIntents = []byte("intents")       // serial -> intent
	bucketParties = []byte("parties")       // id -> party
	bucketTokens  = []byte("tokens")        // id -> token
	bucketEnds    = []byte("token-expiry")  // not after, id of token
	bucketCRL     = []byte("crl-numbers")   // issuer -> number
	bucketHolds   = []byte("released")      // issuer, 0, serial of what is good again -> when its hold ended
	bucketShards  = []byte("crl-shards")    // issuer -> number of shards
	bucketChanges = []byte("changes")       // epoch -> hash of the list, change
	bucketOutbox  = []byte("outbox")        // number -> message
	bucketStates  = []byte("outbox-states") // state of a message, 0, number -> since when
	bucketNoticed = []byte("noticed")       // target, 0, topic, 0, serial -> not after
	bucketAsked   = []byte("asked")         // id of an approval request -> request
	bucketFiled   = []byte("filed")         // number -> id
	bucketWaiting = []byte("waiting")       // number of a pending one -> id
	bucketPins    = []byte("pins")          // kind -> what is in force
	bucketBlocked = []byte("blocked-keys")  // SHA-256(SPKI) -> blocked key
	bucketStolen  = []byte("stolen-keys")   // SHA-256(SPKI) -> index of a certificate revoked for keyCompromise

	bucketRecheck  = []byte("recheck")  // "last" -> re-check of the inventory
	bucketFindings = []byte("findings") // serial -> finding
	bucketLate     = []byte("late")     // index that is written late -> log index below which it is whole
	buckets        = [][]byte{
		bucketCerts, bucketSerials, bucketThumbs, bucketKeys, bucketByParty, bucketKinds, bucketByKind,
		bucketExpiry, bucketNames, bucketRevoked, bucketStatus,
		bucketIntents, bucketParties, bucketTokens, bucketEnds, bucketCRL,
		bucketOutbox, bucketStates, bucketNoticed, bucketHolds, bucketShards, bucketChanges,
		bucketAsked, bucketFiled, bucketWaiting, bucketPins,
		bucketBlocked, bucketStolen, bucketRecheck, bucketFindings, bucketLate,
	}
)

// Config says which file to open.
type Config struct {
	Path   string       // created with mode 0600 if it does not exist
	Log    *audit.Log   // writes the audit log in every commit
	Logger *slog.Logger // nil for none
	// BeforeCommit, if not nil, is called in every write transaction after its
	// last write; an error makes the commit fail. Tests use it to lose a commit.
	BeforeCommit func() error
	// AfterCommit, if not nil, is called when a write transaction is on the disk; its error
	// goes to the callers, although what they wrote stays. Tests use it to lose an answer.
	AfterCommit func() error
	// NoSync leaves the disk to the operating system: a crash of the machine can lose
	// what was committed. For measuring alone.
	NoSync bool
}

// A Store is a [ca.Store] in one file.
type Store struct {
	db      *boltlog.DB
	cfg     Config
	parties parties
	thumbs  late // by SHA-256(certificate)
	keys    late // by SHA-256(SPKI)
}

var _ ca.Store = (*Store)(nil)

// A LockedError says that another process has the file open.
type LockedError = boltlog.LockedError

// Open opens or creates the file and starts its writer. *[LockedError] if
// another process holds it, *[boltlog.SchemaError] if a newer payca wrote it. The file
// of an older one is upgraded, which takes about a minute for a million certificates.
func Open(_ context.Context, cfg Config) (*Store, error) {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	db, err := boltlog.Open(boltlog.Config{
		Path: cfg.Path, Schema: schema, Buckets: buckets, Log: cfg.Log, NoSync: cfg.NoSync,
		BeforeCommit: cfg.BeforeCommit, AfterCommit: cfg.AfterCommit, Upgrade: (&upgrade{logger: cfg.Logger}).step,
	})
	if err != nil {
		return nil, err
	}
	s := &Store{db: db, cfg: cfg}
	if err := s.loadAll(); err != nil {
		return nil, errors.Join(fmt.Errorf("reading %s: %w", cfg.Path, err), db.Close())
	}
	return s, nil
}

// OpenReadOnly opens the file for reading; every write is refused. *[LockedError]
// if a process has it open for writing.
func OpenReadOnly(path string) (*Store, error) {
	db, err := boltlog.OpenReadOnly(path, schema)
	if old, ok := errors.AsType[*boltlog.SchemaError](err); ok && slices.Contains([]string{schemaFirst, schemaUpgrading, schemaJSON, schemaPlain, schemaShards, schemaEager}, old.Got) {
		return nil, fmt.Errorf("%w: the next payca serve upgrades the file", err)
	}
	if err != nil {
		return nil, err
	}
	s := &Store{db: db}
	if err := s.loadAll(); err != nil {
		return nil, errors.Join(fmt.Errorf("reading %s: %w", path, err), db.Close())
	}
	return s, nil
}

// Close waits for queued writes and closes the file.
func (s *Store) Close() error {
	s.thumbs.close()
	s.keys.close()
	return s.db.Close()
}

// Append implements ca.Store.
func (s *Store) Append(ctx context.Context, events ...audit.Event) error {
	return s.db.Write(ctx, func(tx *bbolt.Tx) error {
		return boltlog.Writing(s.appends(tx, events...))
	})
}

// appends is the step that writes events to the log.
func (s *Store) appends(tx *bbolt.Tx, events ...audit.Event) func() error {
	return func() error {
		_, err := s.db.Append(tx, events...)
		return err
	}
}

// Log implements ca.Store.
func (s *Store) Log() audit.Reader { return s.db.Log() }

// Check compares what must agree in a sound store: what boltlog.DB.Check does, and
// the newest certificate with the end of the log.
func (s *Store) Check(context.Context) error {
	return s.db.Check(func(tx *bbolt.Tx, size uint64) error {
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
