package agent

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"slices"
	"strings"
	"time"

	"go.etcd.io/bbolt"
	"golang.org/x/crypto/cryptobyte"

	"github.com/payca/payca/ca/audit"
	"github.com/payca/payca/ca/boltlog"
	"github.com/payca/payca/enroll/strictjson"
	"github.com/payca/payca/payment"
	"github.com/payca/payca/payment/ledger"
)

// schema is the version of the layout.
const schema = "payment-2"

// What belongs to a payment begins with its id, so that one page of the file, or few, have all of it.
var (
	bucketPayments = []byte("payments") // payment id, tag, rest -> object, operation or state
	bucketState    = []byte("state")    // what else the role keeps, JSON by name
	bucketJobs     = []byte("schedule") // argument, 0, name -> job
	buckets        = [][]byte{bucketPayments, bucketState, bucketJobs}
)

// The tags in the keys of bucketPayments.
const (
	tagObject    = 'o' // number -> record
	tagOperation = 'r' // rest of the idempotency key -> operation
	tagState     = 's' // what the role keeps under KIND/ID: kind -> JSON
	tagOther     = 'x' // first, in the place of an id that is none, before an idempotency key
)

// ErrNotFound says that there is nothing under that name.
var ErrNotFound = fs.ErrNotExist

// A Tx is one transaction of an agent's store.
type Tx struct {
	bolt  *bbolt.Tx
	agent *Agent
	wake  []func() // what to do once it is committed
}

// prepare makes what the ledger needs.
func (a *Agent) prepare() error {
	return a.db.Write(context.Background(), func(tx *bbolt.Tx) error { return boltlog.Undo(ledger.Create(tx)) })
}

// Write runs apply in a transaction that commits as a whole, or not at all if apply returns an error. apply may run more
// than once: it changes nothing but the transaction and what it sets anew each time.
func (a *Agent) Write(ctx context.Context, apply func(tx *Tx) error) error {
	a.counters.commits.Add(1)
	var wake []func()
	var done map[place][]byte
	err := a.db.Write(ctx, func(bolt *bbolt.Tx) error {
		tx, waiting := &Tx{bolt: bolt, agent: a}, a.later.list()
		if err := tx.defers(waiting); err != nil {
			return boltlog.Undo(err)
		}
		if err := apply(tx); err != nil {
			return boltlog.Undo(err)
		}
		wake, done = tx.wake, waiting
		return nil
	})
	if err != nil {
		return err
	}
	a.later.settle(done)
	a.reached("committed", "")
	for _, f := range wake {
		f()
	}
	return nil
}

// Read runs read in a transaction that changes nothing.
func (a *Agent) Read(read func(tx *Tx) error) error {
	return a.db.View(func(bolt *bbolt.Tx) error { return read(&Tx{bolt: bolt, agent: a}) })
}

// Get reads what is kept under a name; [ErrNotFound] if there is nothing.
func (tx *Tx) Get(name string, v any) error {
	bucket, key := stateKey(name)
	raw := tx.bolt.Bucket(bucket).Get(key)
	if raw == nil {
		return fmt.Errorf("%s: %w", name, ErrNotFound)
	}
	if tx.agent.decoded.find(name, raw, v) {
		return nil
	}
	if err := strictjson.Trusted(raw, v); err != nil {
		return err
	}
	tx.agent.decoded.keep(name, raw, v)
	return nil
}

// Put keeps v under a name.
func (tx *Tx) Put(name string, v any) error {
	raw, err := json.Marshal(v)
	if err != nil {
		return err
	}
	tx.agent.decoded.keep(name, raw, v)
	bucket, key := stateKey(name)
	return tx.bolt.Bucket(bucket).Put(key, raw)
}

// Delete removes what is kept under a name.
func (tx *Tx) Delete(name string) error {
	bucket, key := stateKey(name)
	return tx.bolt.Bucket(bucket).Delete(key)
}

// stateKey is where what has a name is: with the rest of its payment, if the name is KIND/ID.
func stateKey(name string) (bucket, key []byte) {
	kind, id, _ := strings.Cut(name, "/")
	if !payment.IsID(id) {
		return bucketState, []byte(name)
	}
	return bucketPayments, append(append(append(make([]byte, 0, len(name)), id...), tagState), kind...)
}

// Names lists the names with a prefix, in order, but for those that are KIND/ID of a payment.
func (tx *Tx) Names(prefix string) iter.Seq[string] {
	return func(yield func(string) bool) {
		cursor := tx.bolt.Bucket(bucketState).Cursor()
		for key, _ := cursor.Seek([]byte(prefix)); bytes.HasPrefix(key, []byte(prefix)); key, _ = cursor.Next() {
			if !yield(string(key)) {
				return
			}
		}
	}
}

// Payments lists the payments of which something is kept under KIND/ID, the oldest first. It visits each payment there is.
func (tx *Tx) Payments(kind string) iter.Seq[string] {
	return func(yield func(id string) bool) {
		cursor := tx.bolt.Bucket(bucketPayments).Cursor()
		for key, _ := cursor.First(); len(key) > idSize && key[0] != tagOther; {
			id := string(key[:idSize])
			_, want := stateKey(kind + "/" + id)
			if key, _ = cursor.Seek(want); bytes.Equal(key, want) && !yield(id) {
				return
			}
			key, _ = cursor.Seek(append([]byte(id), 0xff)) // the next payment
		}
	}
}

// idSize is of the id of a payment.
const idSize = 36

// Book returns the agent's ledger in this transaction.
func (tx *Tx) Book() *ledger.Book { return ledger.In(tx.bolt) }

// Event adds a leaf to the log.
func (tx *Tx) Event(events ...audit.Event) error {
	_, err := tx.agent.db.Append(tx.bolt, events...)
	return err
}

// The directions of a [Record].
const (
	Received = "received"
	Made     = "made"
)

// A Record is one object that the agent received or made, as it was signed or sealed.
type Record struct {
	Payment   string       `json:"payment"`
	Kind      payment.Kind `json:"kind"`
	Direction string       `json:"direction"`          // received, made
	Signer    string       `json:"signer,omitempty"`   // identity URI; "" for what is sealed
	Serial    string       `json:"serial,omitempty"`   // of the signer's certificate, hexadecimal
	SealedTo  string       `json:"sealed_to,omitzero"` // thumbprint, for what is sealed
	Peer      string       `json:"peer,omitempty"`     // who sent it, or to whom it is addressed
	Status    string       `json:"status,omitempty"`   // of the signer's certificate: "good by ocsp"
	Note      string       `json:"note,omitempty"`     // which operation of its kind it belongs to
	Time      time.Time    `json:"time"`
	Digest    string       `json:"digest"` // SHA-256 of the object, base64url
	Salt      string       `json:"salt"`   // of the commitment in the log
	Object    string       `json:"-"`      // empty once erased
}

// A kept record is the digest of the object, its kind and the size of the rest in JSON, that, and the object as it is.
type kept struct{ sum, kind, meta, object []byte }

func (r Record) encode(sum [digestSize]byte) ([]byte, error) {
	meta, err := json.Marshal(r)
	if err != nil {
		return nil, err
	}
	raw := make([]byte, 0, digestSize+1+len(r.Kind)+4+len(meta)+len(r.Object))
	raw = append(raw, sum[:]...)
	raw = append(append(raw, byte(len(r.Kind))), r.Kind...)
	raw = binary.BigEndian.AppendUint32(raw, uint32(len(meta)))
	return append(append(raw, meta...), r.Object...), nil
}

// splitRecord finds the parts of what encode wrote.
func splitRecord(raw []byte) (k kept, err error) {
	input, size := cryptobyte.String(raw), uint32(0)
	ok := input.ReadBytes(&k.sum, digestSize) && input.ReadUint8LengthPrefixed((*cryptobyte.String)(&k.kind)) &&
		input.ReadUint32(&size) && uint64(size) <= uint64(len(input))
	if !ok {
		return kept{}, fmt.Errorf("%d octets, want more", len(raw))
	}
	k.meta, k.object = input[:size], input[size:]
	return k, nil
}

func decodeRecord(raw []byte) (r Record, err error) {
	k, err := splitRecord(raw)
	if err == nil {
		err = strictjson.Trusted(k.meta, &r)
	}
	r.Object = string(k.object)
	return r, err
}

// objectKey orders the records of a payment; objectPrefix begins the keys of all of them.
func objectKey(id string, number uint16) []byte {
	return binary.BigEndian.AppendUint16(objectPrefix(id), number)
}

func objectPrefix(id string) []byte {
	return append(append(make([]byte, 0, len(id)+3), id...), tagObject)
}

// objects ranges over the records of a payment in the order in which they were kept.
func (tx *Tx) objects(id string) iter.Seq2[[]byte, []byte] {
	return func(yield func(key, value []byte) bool) {
		cursor, prefix := tx.bolt.Bucket(bucketPayments).Cursor(), objectPrefix(id)
		for key, value := cursor.Seek(prefix); bytes.HasPrefix(key, prefix); key, value = cursor.Next() {
			if !yield(key, value) {
				return
			}
		}
	}
}

// digestSize is of the digest that starts each record, by which an object is recognised without decoding.
const digestSize = sha256.Size

// Save keeps records, each once: an object that is kept already is not kept again.
func (tx *Tx) Save(records ...Record) error {
	bucket := tx.bolt.Bucket(bucketPayments)
	var events []audit.Event
	for _, r := range records {
		sum := sha256.Sum256([]byte(r.Object))
		number, known := uint16(0), false
		for _, value := range tx.objects(r.Payment) {
			number++
			known = known || bytes.HasPrefix(value, sum[:])
		}
		if known {
			continue
		}
		r.Digest, r.Salt = base64.RawURLEncoding.EncodeToString(sum[:]), payment.NewNonce()
		raw, err := r.encode(sum)
		if err != nil {
			return err
		}
		if err := bucket.Put(objectKey(r.Payment, number), raw); err != nil {
			return err
		}
		events = append(events, r.event())
	}
	if len(events) == 0 {
		return nil
	}
	return tx.Event(events...)
}

// The kinds of event in an agent's log.
const (
	ObjectReceived audit.Kind = "object.received"
	ObjectMade     audit.Kind = "object.made"
	ServerStarted  audit.Kind = "agent.started"
	PaymentMoved   audit.Kind = "payment.moved"
)

// event is the leaf for a record. Who it is about is in the object; the leaf holds only a commitment to it.
func (r Record) event() audit.Event {
	kind := ObjectReceived
	if r.Direction == Made {
		kind = ObjectMade
	}
	return audit.Event{Time: r.Time.UTC(), Kind: kind, Serial: r.Serial, Attrs: map[string]string{
		"payment": r.Payment, "object": string(r.Kind), "status": r.Status, "commitment": r.commitment(),
	}}
}

// commitment hides the digest behind the salt.
func (r Record) commitment() string {
	sum := sha256.Sum256([]byte(r.Salt + "." + r.Digest))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// Records lists the objects of a payment in the order in which they were kept.
func (tx *Tx) Records(id string) ([]Record, error) {
	var records []Record
	for key, value := range tx.objects(id) {
		r, err := decodeRecord(value)
		if err != nil {
			return nil, fmt.Errorf("record %x: %w", key, err)
		}
		records = append(records, r)
	}
	return records, nil
}

// Objects returns the objects of a payment by kind, those of the kinds that are listed, oldest first, as [View] shows them.
func (tx *Tx) Objects(id string, kinds ...payment.Kind) (map[string][]string, error) {
	objects := map[string][]string{}
	for key, value := range tx.objects(id) {
		k, err := splitRecord(value)
		if err != nil {
			return nil, fmt.Errorf("record %x: %w", key, err)
		}
		if kind := payment.Kind(k.kind); slices.Contains(kinds, kind) {
			objects[string(kind)] = append(objects[string(kind)], string(k.object))
		}
	}
	return objects, nil
}

// Object returns the object of a payment with that digest; [ErrNotFound] if it is not kept.
func (tx *Tx) Object(id, digest string) (string, error) {
	sum, err := base64.RawURLEncoding.DecodeString(digest)
	if err != nil || len(sum) != digestSize {
		return "", fmt.Errorf("object %q of payment %s: %w", digest, id, ErrNotFound)
	}
	for _, value := range tx.objects(id) {
		if bytes.HasPrefix(value, sum) {
			k, err := splitRecord(value)
			return string(k.object), err
		}
	}
	return "", fmt.Errorf("object %s of payment %s: %w", digest, id, ErrNotFound)
}

// has reports whether an object of a payment is kept.
func (tx *Tx) has(id string, object payment.Object) bool {
	sum := sha256.Sum256([]byte(object))
	for _, value := range tx.objects(id) {
		if bytes.HasPrefix(value, sum[:]) {
			return true
		}
	}
	return false
}

// ReadStore lists the records of a payment in the store of an agent that does not run.
func ReadStore(path, id string) ([]Record, error) {
	db, err := boltlog.OpenReadOnly(path, schema)
	if err != nil {
		return nil, err
	}
	var records []Record
	err = db.View(func(bolt *bbolt.Tx) (err error) {
		records, err = (&Tx{bolt: bolt}).Records(id)
		return err
	})
	return records, errors.Join(err, db.Close())
}
