package node

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"sync"
	"time"

	"github.com/payca/payca/cmd/internal/api"
	"github.com/payca/payca/ocsp"
)

const (
	listsPause = 30 * time.Second // between two looks for newer lists
	listsAfter = 6                // looks, a second apart, after a change: the CA publishes within a second or so
	maxCached  = 5 * time.Minute
)

// files are what is served beside OCSP, by path.
type files struct {
	mu   sync.RWMutex
	list map[string]*file // guarded by mu
}

// A file is a CRL or a certificate as it is served.
type file struct {
	place, contentType, etag string
	number                   uint64 // of a CRL
	modified, until          time.Time
}

func (f *files) find(path string) *file {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return f.list[path]
}

func (f *files) set(path string, one *file) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.list == nil {
		f.list = map[string]*file{}
	}
	f.list[path] = one
}

// listPath is what a CRL may be called: the path becomes the name of a file.
var listPath = regexp.MustCompile(`^/crl/[a-z0-9-]+(/[a-z0-9-]+)?\.crl$`)

// loadFiles takes over the lists of a process before this one, and serves the certificates of the CAs.
func (n *Node) loadFiles(ctx context.Context) {
	certs := map[string]*x509.Certificate{"root": n.root}
	for _, is := range n.issuers {
		certs[is.name] = is.certificate
	}
	for name, c := range certs {
		place := n.place("/ca/" + name + ".crt")
		if err := put(place, c.Raw, 0o755, 0o644); err != nil {
			n.cfg.Logger.LogAttrs(ctx, slog.LevelWarn, "cannot keep a certificate", slog.String("issuer", name), slog.Any("err", err))
			continue
		}
		n.files.set("/ca/"+name+".crt", &file{place: place, contentType: "application/pkix-cert", etag: etag(c.Raw), modified: c.NotBefore})
	}
	var description api.NodeReply
	if err := json.Unmarshal(n.store.read(keyDescription), &description); err != nil {
		return
	}
	for _, l := range description.Lists {
		der, err := os.ReadFile(n.place(l.Path))
		if err == nil {
			err = n.serveList(l.Path, l.Issuer, der, false)
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			n.cfg.Logger.LogAttrs(ctx, slog.LevelWarn, "cannot use a CRL that was kept", slog.String("path", l.Path), slog.Any("err", err))
		}
	}
}

func (n *Node) place(path string) string {
	return filepath.Join(n.cfg.Dir, "www", filepath.FromSlash(path[1:]))
}

func etag(body []byte) string {
	sum := sha256.Sum256(body)
	return `"` + hex.EncodeToString(sum[:]) + `"`
}

// certificateOf returns the certificate of an issuing CA, or of the root.
func (n *Node) certificateOf(name string) *x509.Certificate {
	if name == "root" {
		return n.root
	}
	for _, is := range n.issuers {
		if is.name == name {
			return is.certificate
		}
	}
	return nil
}

// serveList serves a CRL that its issuer signed, unless it is older than the one that is served.
func (n *Node) serveList(path, issuer string, der []byte, keep bool) error {
	cert := n.certificateOf(issuer)
	if cert == nil || !listPath.MatchString(path) {
		return fmt.Errorf("CRL %q of %q, want one of a CA of the network", path, issuer)
	}
	info, err := ocsp.ScanCRL(bytes.NewReader(der), cert, func(ocsp.Entry) error { return nil })
	if err != nil {
		return err
	}
	if before := n.files.find(path); before != nil && info.Number < before.number {
		return fmt.Errorf("CRL %s has number %d, want at least %d, which is served", path, info.Number, before.number)
	}
	f := &file{place: n.place(path), contentType: "application/pkix-crl", etag: etag(der), number: info.Number, modified: info.ThisUpdate, until: info.NextUpdate}
	if keep {
		if err := put(f.place, der, 0o755, 0o644); err != nil {
			return err
		}
	}
	n.files.set(path, f)
	return nil
}

// refreshLists fetches the lists that are newer than those that are served.
func (n *Node) refreshLists(ctx context.Context) error {
	description, err := n.client.Node(ctx)
	if err != nil {
		return err
	}
	for _, l := range description.Lists {
		if stands := n.files.find(l.Path); stands != nil && stands.number >= l.Number {
			continue
		}
		der, err := n.client.NodeFile(ctx, l.Path)
		if err == nil {
			err = n.serveList(l.Path, l.Issuer, der, true)
		}
		if err != nil {
			return fmt.Errorf("fetching %s: %w", l.Path, err)
		}
	}
	raw, err := json.Marshal(description)
	if err != nil {
		return err
	}
	return n.store.write(keyDescription, raw)
}

// keepLists fetches newer lists now, after changes, and from time to time, until ctx ends.
func (n *Node) keepLists(ctx context.Context) {
	soon := 0
	n.again(ctx, "lists", func(ctx context.Context) error {
		if err := n.refreshLists(ctx); err != nil {
			return err
		}
		pause := listsPause
		if soon > 0 {
			soon--
			pause = time.Second
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		case <-n.changed:
			soon = listsAfter
		}
		return nil
	})
}

// serve answers GET and HEAD; what is over is not served.
func (f *file) serve(w http.ResponseWriter, r *http.Request, now time.Time) {
	age := maxCached
	if !f.until.IsZero() {
		if !now.Before(f.until) {
			http.Error(w, "the list that this node has ended at "+f.until.Format(time.RFC3339), http.StatusServiceUnavailable)
			return
		}
		age = min(age, f.until.Sub(now)/2)
	}
	body, err := os.Open(f.place)
	if err != nil {
		http.Error(w, "the file cannot be read", http.StatusServiceUnavailable)
		return
	}
	defer body.Close()
	w.Header().Set("Content-Type", f.contentType)
	w.Header().Set("ETag", f.etag)
	w.Header().Set("Expires", now.Add(age).UTC().Format(http.TimeFormat))
	w.Header().Set("Cache-Control", "public, no-transform, must-revalidate, max-age="+strconv.Itoa(int(age.Seconds())))
	http.ServeContent(w, r, "", f.modified, body)
}
