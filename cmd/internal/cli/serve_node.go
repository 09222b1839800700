package cli

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"path/filepath"
	"syscall"
	"time"

	"github.com/payca/payca/cmd/internal/config"
	"github.com/payca/payca/cmd/internal/node"
)

// runNode is payca serve --only status.
func (o *serveOptions) runNode(ctx context.Context, a *app) error {
	file := o.config
	if file == "" {
		file = filepath.Join(a.dir, config.NodeFileName)
	}
	conf, err := config.LoadStatusNode(file)
	if errors.Is(err, fs.ErrNotExist) {
		return fail(ExitUsage, err, "--config names the file of the status node; docs/status.md has one")
	}
	if err != nil {
		return err
	}
	n, err := node.Open(ctx, node.Config{
		Identity: conf.Path(conf.Identity), Upstream: conf.Upstream, Dir: conf.Path(conf.Data), Validity: time.Duration(conf.Validity),
		MaxAge: time.Duration(conf.MaxAge), Retention: time.Duration(conf.Retention), Logger: a.logger(conf.Log),
	})
	if errors.Is(err, fs.ErrNotExist) {
		return fail(ExitFailure, err, "get the identity first: payca party add ID --role service --status-node, payca enroll TOKEN")
	}
	if err != nil {
		return explain(err)
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", conf.Listen)
	if err != nil {
		err = errors.Join(err, n.Close())
		if errors.Is(err, syscall.EADDRINUSE) {
			return fail(ExitFailure, err, "stop the program that listens there, or change listen in "+file)
		}
		return err
	}
	a.storyf("Serving status of %s on %s", n.Network(), conf.Listen)
	defer collectLess()()
	return n.Serve(ctx, listener)
}
