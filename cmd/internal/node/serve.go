package node

import (
	"context"
	"errors"
	"net"
	"net/http"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/payca/payca/cmd/internal/listen"
)

// ServeHTTP answers OCSP below /ocsp, on the escaped path and before anything could clean it, and serves CRLs, the certificates
// of the CAs, and /healthz.
func (n *Node) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path := r.URL.EscapedPath()
	if path == "/ocsp" || strings.HasPrefix(path, "/ocsp/") {
		n.responder.ServeHTTP(w, r)
		return
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "method "+r.Method+" on "+path+", want GET or HEAD", http.StatusMethodNotAllowed)
		return
	}
	if path == "/healthz" {
		n.serveHealth(w)
		return
	}
	if f := n.files.find(path); f != nil {
		f.serve(w, r, n.cfg.Now())
		return
	}
	http.NotFound(w, r)
}

func (n *Node) serveHealth(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	text := "ok\n"
	if err := n.Health(); err != nil {
		w.WriteHeader(http.StatusServiceUnavailable)
		text = err.Error() + "\n"
	}
	_, _ = w.Write([]byte(text)) // the client is gone if this does not work
}

// Serve answers on a listener and follows the CA until ctx ends, then closes the node.
func (n *Node) Serve(ctx context.Context, l net.Listener) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return listen.Plain(n, n.cfg.Logger).Serve(ctx, l) })
	group.Go(func() error { return n.source.Run(ctx) })
	group.Go(func() error { return n.changes.Run(ctx) })
	group.Go(func() error { return n.responder.Run(ctx) })
	for _, follow := range []func(context.Context){
		n.keepDelegates, n.keepLists,
		func(ctx context.Context) { n.again(ctx, "issued", n.followIssued) },
	} {
		group.Go(func() error {
			follow(ctx)
			return nil
		})
	}
	return errors.Join(group.Wait(), n.Close())
}
