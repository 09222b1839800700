package status

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/payca/payca/ca"
	"github.com/payca/payca/ocsp"
)

// A list is one CRL of an issuer: the full one, the delta to it or a shard. Its publisher writes it, under issuer.mu; many
// serve it.
type list struct {
	name  string // full, delta, or the number of the shard
	shard int    // from 1; 0 for the others
	delta bool
	path  string // below the status URL: /crl/merchant/3.crl
	file  string // where it is kept

	dirty bool // what changed is not in it; owned by the publisher

	mu      sync.RWMutex // held while file and current are replaced, so that they fit
	current *published   // guarded by mu; nil before the first
}

// published is a CRL as it is served.
type published struct {
	number, base           uint64
	thisUpdate, nextUpdate time.Time
	entries                int
	size                   int64
	etag                   string
}

// lists are the CRLs of an issuer with n shards, the full one first, the delta second.
func lists(dir, issuer string, n int) []*list {
	all := []*list{{name: "full"}, {name: "delta", delta: true}}
	for shard := 1; shard <= n; shard++ {
		all = append(all, &list{name: strconv.Itoa(shard), shard: shard})
	}
	for i, l := range all {
		l.path = "/crl/" + issuer + "/" + l.name + ".crl"
		if i == 0 {
			l.path = "/crl/" + issuer + ".crl"
		}
		l.file = filepath.Join(dir, filepath.FromSlash(l.path[len("/crl/"):]))
		l.dirty = true
	}
	return all
}

// covers says whether the list names certificates like that of the entry.
func (l *list) covers(e *entry) bool {
	return l.shard == 0 || int(e.shard) == l.shard || e.shard == ca.AnyShard
}

func (l *list) load() *published {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.current
}

// read takes over what was published before, by this process or one before it. A file that is no list of the issuer is as good as
// none, and is returned as an error.
func (l *list) read(issuer *x509.Certificate) error {
	f, err := os.Open(l.file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	p := &published{}
	info, err := ocsp.ScanCRL(f, issuer, func(ocsp.Entry) error {
		p.entries++
		return nil
	})
	if err != nil {
		return fmt.Errorf("reading %s: %w", l.file, err)
	}
	p.number, p.base, p.thisUpdate, p.nextUpdate = info.Number, info.Base, info.ThisUpdate, info.NextUpdate
	return l.finish(f.Name(), p)
}

// finish fills in what is known of the finished file, and makes it the one that is served.
func (l *list) finish(file string, p *published) error {
	stat, err := os.Stat(file)
	if err != nil {
		return err
	}
	p.size = stat.Size()
	if p.etag == "" { // of a process before this one: it may have had the same number
		sum := sha256.Sum256(strconv.AppendInt([]byte(l.path), stat.ModTime().UnixNano(), 10))
		p.etag = quoteETag(sum[:])
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if file != l.file {
		if err := os.Rename(file, l.file); err != nil {
			return err
		}
	}
	l.current = p
	return nil
}

// write makes the CRL in a file of its own, reads it back, and then puts it in the place of the one before. The error of
// check ends it with everything as it was.
func (l *list) write(crl ocsp.CRL, entries iter.Seq2[ocsp.Entry, error], sign ocsp.SignTBS, check func(file *os.File) (int, error)) (err error) {
	if err := os.MkdirAll(filepath.Dir(l.file), 0o755); err != nil { //nolint:gosec // a web server may serve it
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(l.file), ".new-*")
	if err != nil {
		return err
	}
	defer func() {
		_ = f.Close()
		if err != nil {
			_ = os.Remove(f.Name())
		}
	}()
	p := &published{number: crl.Number, base: crl.Base, thisUpdate: crl.ThisUpdate, nextUpdate: crl.NextUpdate}
	err = crl.Write(f, entries, func(tbs func(io.Writer) error) ([]byte, error) {
		signature, err := sign(tbs)
		sum := sha256.Sum256(signature) // no two lists have the same
		p.etag = quoteETag(sum[:])
		return signature, err
	})
	if err != nil {
		return err
	}
	if p.entries, err = check(f); err != nil {
		return fmt.Errorf("checking before publishing: %w", err)
	}
	if err = f.Chmod(0o644); err != nil {
		return err
	}
	return l.finish(f.Name(), p)
}

func quoteETag(sum []byte) string { return `"` + hex.EncodeToString(sum) + `"` }

// check reads a list back as a relying party would, and compares it with the one before: it must be the list that was meant,
// and nothing may be missing that mayLeave does not let go. It returns the number of entries.
func (l *list) check(file *os.File, crl ocsp.CRL, mayLeave func(serial []byte, published time.Time) error) (int, error) {
	before := l.load()
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return 0, err
	}
	n := 0
	next, stop, err := l.previous(crl.Issuer, before)
	if err != nil {
		return 0, err
	}
	defer stop()
	old, more := next()
	lost := func(until []byte) error { // what stands before until, nil for the rest, is missing
		for more && (until == nil || compare(old.serial, until) < 0) {
			if old.err != nil {
				return old.err
			}
			if err := mayLeave(old.serial, before.thisUpdate); err != nil {
				return err
			}
			old, more = next()
		}
		if more && until != nil && compare(old.serial, until) == 0 {
			old, more = next()
		}
		return nil
	}
	info, err := ocsp.ScanCRL(file, crl.Issuer, func(e ocsp.Entry) error {
		n++
		return lost(e.Serial)
	})
	if err == nil {
		err = lost(nil)
	}
	if err != nil {
		return 0, err
	}
	if info.Number != crl.Number || info.Base != crl.Base || info.Delta != (crl.Base > 0) || !info.ThisUpdate.Equal(crl.ThisUpdate) ||
		len(info.URIs) != min(1, len(crl.Shard)) || len(info.URIs) == 1 && info.URIs[0] != crl.Shard {
		return 0, fmt.Errorf("read back as number %d of %v, want number %d of %v", info.Number, info.ThisUpdate, crl.Number, crl.ThisUpdate)
	}
	return n, nil
}

// An oldEntry is an entry of the list before, or what stood in the way of reading it.
type oldEntry struct {
	serial []byte
	err    error
}

// previous yields the serials of the list before, none for a delta.
func (l *list) previous(issuer *x509.Certificate, before *published) (next func() (oldEntry, bool), stop func(), err error) {
	if before == nil || l.delta {
		return func() (oldEntry, bool) { return oldEntry{}, false }, func() {}, nil
	}
	f, err := os.Open(l.file)
	if err != nil {
		return nil, nil, err
	}
	errStop := errors.New("stop")
	next, end := iter.Pull(func(yield func(oldEntry) bool) {
		_, err := ocsp.ScanCRL(f, issuer, func(e ocsp.Entry) error {
			if !yield(oldEntry{serial: e.Serial}) {
				return errStop
			}
			return nil
		})
		if err != nil && !errors.Is(err, errStop) {
			yield(oldEntry{err: fmt.Errorf("reading the list before: %w", err)})
		}
	})
	return next, func() { end(); _ = f.Close() }, nil
}

// compare orders serials, which have no leading zeros.
func compare(a, b []byte) int {
	if len(a) != len(b) {
		return len(a) - len(b)
	}
	for i := range a {
		if a[i] != b[i] {
			return int(a[i]) - int(b[i])
		}
	}
	return 0
}

// A NumberError refuses a list whose number does not follow what was published before, as after an older copy of the store
// was put back.
type NumberError struct {
	Issuer         string // name of the issuing CA
	Got, Published uint64
}

// Error says whose lists they are and what was published.
func (e *NumberError) Error() string {
	return fmt.Sprintf("the next CRL of the %s CA would have number %d, want more than %d, which was published: was an older store put back?", e.Issuer, e.Got, e.Published)
}

// serve answers GET and HEAD with caching headers; conditional requests get 304.
func (l *list) serve(w http.ResponseWriter, r *http.Request, now time.Time) {
	l.mu.RLock()
	p := l.current
	f, err := os.Open(l.file)
	l.mu.RUnlock()
	if p == nil || err != nil {
		http.Error(w, "the list cannot be read", http.StatusServiceUnavailable)
		return
	}
	defer f.Close()
	setCaching(w.Header(), "application/pkix-crl", p.etag, now, p.nextUpdate)
	http.ServeContent(w, r, "", p.thisUpdate, f)
}
