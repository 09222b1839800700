package listen

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"time"

	"golang.org/x/sync/errgroup"
)

// How long a client may take. Where there is no handshake and what is asked is short, one clock for the whole request costs
// less than two.
const (
	headerTime = 5 * time.Second  // for its handshake, and for a header
	secureTime = 30 * time.Second // for a request over TLS
	plainTime  = 10 * time.Second // for a request without it
	answerTime = time.Minute      // to take the answer
	idleTime   = 2 * time.Minute  // between two requests
	grace      = 5 * time.Second  // that requests under way have when the server stops
)

// A Server answers on one listener.
type Server struct{ http http.Server }

// Secure makes a server of HTTP over TLS.
func Secure(h http.Handler, conf *tls.Config, logger *slog.Logger) *Server {
	s := newServer(h, logger, 32<<10, headerTime, secureTime)
	s.http.TLSConfig = conf
	return s
}

// Plain makes a server of HTTP, for what anybody may read: statuses, lists and certificates.
func Plain(h http.Handler, logger *slog.Logger) *Server {
	return newServer(h, logger, 16<<10, plainTime, plainTime)
}

func newServer(h http.Handler, logger *slog.Logger, header int, headerTime, readTime time.Duration) *Server {
	return &Server{http.Server{
		Handler: h, MaxHeaderBytes: header, ErrorLog: slog.NewLogLogger(logger.Handler(), slog.LevelDebug),
		ReadHeaderTimeout: headerTime, ReadTimeout: readTime, WriteTimeout: answerTime, IdleTimeout: idleTime,
		ConnState: newConnections(maxConnections).watch,
	}}
}

// Serve answers until ctx ends, then lets requests under way finish, and closes the listener.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		err := s.serve(l)
		if errors.Is(err, http.ErrServerClosed) {
			return nil
		}
		return err
	})
	group.Go(func() error {
		<-ctx.Done()
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), grace)
		defer cancel()
		if err := s.http.Shutdown(ctx); err != nil {
			return s.http.Close()
		}
		return nil
	})
	return group.Wait()
}

func (s *Server) serve(l net.Listener) error {
	if s.http.TLSConfig != nil {
		return s.http.ServeTLS(l, "", "")
	}
	return s.http.Serve(calmListener{l})
}
