package boltstore

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"go.etcd.io/bbolt"

	"github.com/payca/payca/ca"
)

// tokenForm starts a token: then come the words with their lengths before them, the times, and after an octet of tokenUsed and
// tokenCancelled what became of it. Layouts before 5 have a JSON object.
const tokenForm = 1

const (
	tokenUsed      = 1
	tokenCancelled = 2
)

var errToken = errors.New("damaged token record")

// encodeToken writes a token.
func encodeToken(t ca.Token) ([]byte, error) {
	w := words{value: append(make([]byte, 0, 256), tokenForm)}
	w.text(t.ID, t.Party, t.Profile, t.Request, t.Key, t.By, t.Digest)
	w.time(t.Created)
	w.time(t.NotAfter)
	fate := byte(0)
	if t.Used != nil {
		fate |= tokenUsed
	}
	if t.Cancelled != nil {
		fate |= tokenCancelled
	}
	w.value = append(w.value, fate)
	if u := t.Used; u != nil {
		w.text(u.Party, u.From, u.Request)
		w.time(u.At)
		w.value = append(w.value, u.Serial[:]...)
	}
	if c := t.Cancelled; c != nil {
		w.text(c.By)
		w.time(c.At)
	}
	return w.value, w.err
}

// parseToken reads what encodeToken wrote, now or in an older layout.
func parseToken(value []byte) (t ca.Token, err error) {
	if len(value) > 0 && value[0] == '{' {
		return t, json.Unmarshal(value, &t)
	}
	if len(value) == 0 || value[0] != tokenForm {
		return t, errToken
	}
	r := reader{rest: value[1:]}
	r.text(&t.ID, &t.Party, &t.Profile, &t.Request, &t.Key, &t.By, &t.Digest)
	r.time(&t.Created)
	r.time(&t.NotAfter)
	fate := r.octets(1)
	if fate != nil && fate[0]&tokenUsed != 0 {
		t.Used = new(ca.TokenUse)
		r.text(&t.Used.Party, &t.Used.From, &t.Used.Request)
		r.time(&t.Used.At)
		copy(t.Used.Serial[:], r.octets(len(t.Used.Serial)))
	}
	if fate != nil && fate[0]&tokenCancelled != 0 {
		t.Cancelled = new(ca.TokenCancellation)
		r.text(&t.Cancelled.By)
		r.time(&t.Cancelled.At)
	}
	if r.short || len(r.rest) > 0 || fate[0] > tokenUsed|tokenCancelled {
		return ca.Token{}, errToken
	}
	return t, nil
}

// tokenIn reads a token; ca.ErrNotFound.
func tokenIn(tx *bbolt.Tx, id string) (ca.Token, error) {
	raw := tx.Bucket(bucketTokens).Get([]byte(id))
	if raw == nil {
		return ca.Token{}, ca.ErrNotFound
	}
	return parseToken(raw)
}

// putToken writes a token; nil for none.
func putToken(tx *bbolt.Tx, token *ca.Token) error {
	if token == nil {
		return nil
	}
	value, err := encodeToken(*token)
	if err != nil {
		return err
	}
	return tx.Bucket(bucketTokens).Put([]byte(token.ID), value)
}

// words writes texts with their lengths before them, and times.
type words struct {
	value []byte
	err   error // of the first that does not fit
}

func (w *words) text(list ...string) {
	for _, word := range list {
		if len(word) > maxWord && w.err == nil {
			w.err = fmt.Errorf("a word of %d octets, want at most %d", len(word), maxWord)
		}
		w.value = append(binary.AppendUvarint(w.value, uint64(len(word))), word...)
	}
}

func (w *words) time(t time.Time) {
	w.value = binary.BigEndian.AppendUint64(w.value, uint64(t.Unix()))
	w.value = binary.BigEndian.AppendUint32(w.value, uint32(t.Nanosecond()))
}

// reader reads what words wrote.
type reader struct {
	rest  []byte
	short bool // something was cut off
}

// octets takes the next n octets, nil if there are fewer.
func (r *reader) octets(n int) []byte {
	if n > len(r.rest) || r.short {
		r.short = true
		return nil
	}
	taken := r.rest[:n]
	r.rest = r.rest[n:]
	return taken
}

func (r *reader) text(list ...*string) {
	for _, word := range list {
		n, size := binary.Uvarint(r.rest)
		if size <= 0 || n > uint64(len(r.rest)-size) {
			r.short = true
			return
		}
		*word, r.rest = string(r.rest[size:size+int(n)]), r.rest[size+int(n):]
	}
}

func (r *reader) time(t *time.Time) {
	if raw := r.octets(12); raw != nil {
		*t = time.Unix(int64(binary.BigEndian.Uint64(raw)), int64(binary.BigEndian.Uint32(raw[8:]))).UTC()
	}
}
