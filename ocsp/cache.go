package ocsp

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/crypto/cryptobyte"
)

// Limits of what is kept over a restart.
const (
	maxCache      = 32 << 20 // bytes of the file
	maxKeptAnswer = 4 << 10  // bytes of an OCSP response
	maxKeptList   = 1 << 20  // bytes of a CRL
)

// cacheHeader starts the file; the number is that of its layout.
const cacheHeader = "payca status cache 1\n"

// The kinds of records in the file.
const (
	answerRecord = 1
	listRecord   = 2
)

// cache is what was read from the file and not looked at since, and whether there is something to write.
// The mutex of knowledge guards answers, that of lists guards crls.
type cache struct {
	answers map[[32]byte][]byte // OCSP responses by SHA-256 of the certificate
	crls    map[listKey][]byte
	news    chan struct{} // holds one if there is something new
}

// take removes and returns a response that was read from the file.
func (c *cache) take(id [32]byte) []byte {
	der := c.answers[id]
	delete(c.answers, id)
	return der
}

// changed says that there is something to write.
func (c *cache) changed() {
	select {
	case c.news <- struct{}{}:
	default: // it was said before
	}
}

// remember keeps the response behind a verdict, for the file. The caller holds mu.
func (c *knowledge) remember(id [32]byte, v Verdict, answer []byte) {
	if c.cfg.Cache == "" || v.State == Unknown || len(answer) > maxKeptAnswer {
		answer = nil
	}
	if e := c.memory.open(id); !e.final() || e.answer == nil {
		e.answer = bytes.Clone(answer)
	}
	c.cache.changed()
}

// recall looks at a response that was read from the file, as if it had come from the network just now, except that
// its age counts from when it was signed. One whose time is over still proves what was revoked for good.
func (c *knowledge) recall(id [32]byte, der []byte, leaf, issuer *x509.Certificate) entry {
	now := c.cfg.Now()
	v, err := VerifyResponse(der, leaf, issuer, VerifyOptions{Now: now, Skew: c.cfg.Skew})
	if err != nil {
		v, err = verifyEnded(der, leaf, issuer, VerifyOptions{Now: now, Skew: c.cfg.Skew})
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	known := c.memory.find(id)
	if err != nil || v.State == Unknown || known.outlasts(v, now) || !known.verdict.CheckedAt.IsZero() && v.State == Good {
		return known
	}
	v.CheckedAt = v.ProducedAt
	c.memory.learn(id, v, v.refusal(leaf), c.until(v, leaf, v.ProducedAt))
	c.remember(id, v, der)
	return c.memory.find(id)
}

// verifyEnded verifies a response as of when it was signed, and believes it if it says revoked for good.
func verifyEnded(der []byte, leaf, issuer *x509.Certificate, opts VerifyOptions) (Verdict, error) {
	resp, err := ParseResponse(der)
	if err != nil {
		return Verdict{}, err
	}
	if resp.ProducedAt.After(opts.Now) {
		return Verdict{}, fmt.Errorf("OCSP response of %v, want one of the past", resp.ProducedAt)
	}
	opts.Now = resp.ProducedAt
	v, err := VerifyResponse(der, leaf, issuer, opts)
	if err == nil && !v.final() {
		err = fmt.Errorf("OCSP response that ended at %v, want one that holds", v.NextUpdate)
	}
	return v, err
}

// recallList takes a list that was read from the file into use, if the issuer signed it.
func (c *knowledge) recallList(k listKey, issuer *x509.Certificate) {
	c.lists.mu.Lock()
	der := c.cache.crls[k]
	delete(c.cache.crls, k)
	c.lists.mu.Unlock()
	if der == nil {
		return
	}
	l, err := verifyCRL(der, issuer)
	if err != nil || l.Delta || l.ThisUpdate.After(c.cfg.Now().Add(c.cfg.Skew)) {
		return
	}
	_ = c.lists.keep(k, &keptList{List: l, der: der}) // unless there is a newer one
}

// Run writes the cache when there is something new, at most every ten seconds, and once more when ctx ends. Without a Cache it only waits.
func (c *Checker) Run(ctx context.Context) error {
	for c.cfg.Cache != "" && ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-c.cache.news:
			c.saveLogged(ctx)
			pause := time.NewTimer(10 * time.Second)
			select {
			case <-ctx.Done():
			case <-pause.C:
			}
			pause.Stop()
		}
	}
	<-ctx.Done()
	if c.cfg.Cache != "" {
		c.saveLogged(ctx)
	}
	return nil
}

func (c *Checker) saveLogged(ctx context.Context) {
	if err := c.Save(); err != nil {
		c.cfg.Logger.LogAttrs(ctx, slog.LevelWarn, "status cache not written", slog.Any("err", err))
	}
}

// Save writes the cache now, in the place of the file that is there. Without a Cache it does nothing.
func (c *Checker) Save() error {
	if c.cfg.Cache == "" {
		return nil
	}
	if err := replaceFile(c.cfg.Cache, c.encodeCache()); err != nil {
		return fmt.Errorf("writing the status cache: %w", err)
	}
	return nil
}

// encodeCache writes what fits: answers first, those used last before the others, then lists.
func (c *knowledge) encodeCache() []byte {
	out := []byte(cacheHeader)
	add := func(kind uint8, id [32]byte, url string, der []byte) {
		var b cryptobyte.Builder
		b.AddUint8(kind)
		b.AddBytes(id[:])
		b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes([]byte(url)) })
		b.AddUint24LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes(der) })
		if record, err := b.Bytes(); err == nil && len(out)+len(record) <= maxCache { // an error is a URL over 64 KiB
			out = append(out, record...)
		}
	}
	c.mu.Lock()
	for e := c.memory.recent.Front(); e != nil; e = e.Next() {
		if known := e.Value.(*entry); known.answer != nil {
			add(answerRecord, known.id, "", known.answer)
		}
	}
	for id, der := range c.cache.answers {
		add(answerRecord, id, "", der)
	}
	c.mu.Unlock()
	c.lists.mu.Lock()
	defer c.lists.mu.Unlock()
	for k, kept := range c.lists.kept {
		if kept.der != nil {
			add(listRecord, k.issuer, k.url, kept.der)
		}
	}
	for k, der := range c.cache.crls {
		add(listRecord, k.issuer, k.url, der)
	}
	return out
}

// load reads the file. One that is not there, or that makes no sense from some place on, is no fault.
func (c *knowledge) load() {
	c.cache = cache{answers: map[[32]byte][]byte{}, crls: map[listKey][]byte{}, news: make(chan struct{}, 1)}
	if c.cfg.Cache == "" {
		return
	}
	raw, err := readAtMost(c.cfg.Cache, maxCache)
	if err == nil {
		err = c.cache.decode(raw)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		c.cfg.Logger.LogAttrs(context.Background(), slog.LevelWarn, "status cache not read", slog.Any("err", err))
	}
}

// decode takes the records of a file, as many as a checker remembers.
func (c *cache) decode(raw []byte) error {
	rest, ok := bytes.CutPrefix(raw, []byte(cacheHeader))
	if !ok {
		return fmt.Errorf("status cache starts with %q, want %q", raw[:min(len(raw), len(cacheHeader))], cacheHeader)
	}
	in := cryptobyte.String(rest)
	for !in.Empty() {
		var kind uint8
		var id [sha256.Size]byte
		var url, der cryptobyte.String
		if !in.ReadUint8(&kind) || !in.CopyBytes(id[:]) || !in.ReadUint16LengthPrefixed(&url) || !in.ReadUint24LengthPrefixed(&der) {
			return errors.New("status cache ends within a record, want whole ones")
		}
		switch {
		case kind == answerRecord && len(der) <= maxKeptAnswer && len(c.answers) < maxRemembered:
			c.answers[id] = der
		case kind == listRecord && len(der) <= maxKeptList && len(c.crls) < maxLists:
			c.crls[listKey{string(url), id}] = der
		}
	}
	return nil
}

// readAtMost reads a file that must not be longer than limit.
func readAtMost(path string, limit int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	raw, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err = errors.Join(err, f.Close()); err == nil && int64(len(raw)) > limit {
		err = fmt.Errorf("%s is over %d bytes, want at most that", path, limit)
	}
	return raw, err
}

// replaceFile puts a file in the place of another, so that a reader, or a crash, finds the one or the other.
func replaceFile(path string, data []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}
