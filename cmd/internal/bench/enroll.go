package bench

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync/atomic"
	"time"

	"github.com/payca/payca/cmd/internal/api"
	"github.com/payca/payca/enroll"
)

// enrollment measures payca enroll end to end, one at a time, and the token route beside that of step-ca.
func enrollment(ctx context.Context, r *runner) (err error) {
	s, closeSite, err := r.served(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeSite()) }()
	operator, err := s.operator()
	if err != nil {
		return err
	}
	defer operator.HTTP.CloseIdleConnections()
	if _, err := operator.AddParty(ctx, party(shop)); err != nil {
		return err
	}
	tokenFor := func(party string) (string, error) {
		made, err := operator.CreateToken(ctx, api.TokenRequest{Party: party})
		return made.Token, err
	}
	token := func() (string, error) { return tokenFor(shop) }
	var strangers atomic.Int64
	stranger := func() (string, error) { // of a party that never had a certificate
		id := fmt.Sprintf("shop-%d", strangers.Add(1))
		if _, err := operator.AddParty(ctx, party(id)); err != nil {
			return "", err
		}
		return tokenFor(id)
	}
	err = r.endToEnd("enrollment", token, func(token, dir string) error {
		_, err := enroll.Enroll(ctx, enroll.EnrollConfig{Token: token, Dir: dir})
		return err
	})
	if err == nil && r.Payca != "" {
		err = r.endToEnd("payca enroll, a process", token, func(token, dir string) error {
			cmd := exec.CommandContext(ctx, r.Payca, "enroll", "--out", dir)
			cmd.Env = append(os.Environ(), "PAYCA_TOKEN="+token)
			return cmd.Run()
		})
	}
	if err != nil {
		return err
	}
	return r.tokenRoutes(ctx, s, token, stranger)
}

// endToEnd measures enrollments into an empty directory.
func (r *runner) endToEnd(name string, token func() (string, error), enroll func(token, dir string) error) error {
	var took []float64
	for i := range r.n(20) {
		token, err := token()
		if err != nil {
			return err
		}
		dir, err := os.MkdirTemp(r.Dir, "payca-identity-")
		if err != nil {
			return err
		}
		start := time.Now()
		err = enroll(token, filepath.Join(dir, "home", fmt.Sprint(i)))
		took = append(took, millis(time.Since(start)))
		if err := errors.Join(err, os.RemoveAll(dir)); err != nil {
			return err
		}
	}
	slices.Sort(took)
	r.add(name+", median", median(took), "ms", 150)
	r.add(name+", slowest", took[len(took)-1], "ms", 0)
	return nil
}

// tokenRoutes measures POST /v1/enroll, for one party and for strangers, beside POST /1.0/sign of step-ca, over HTTPS, with
// kept-alive connections.
func (r *runner) tokenRoutes(ctx context.Context, s *site, token, stranger func() (string, error)) (err error) {
	n := r.n(200)
	rival, err := r.newRival()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rival.close()) }()
	server := httptest.NewUnstartedServer(rival.Handler())
	server.StartTLS()
	defer server.Close()
	roots, err := enroll.ReadCertificates(filepath.Join(s.dir, "operator", enroll.RootFile))
	if err != nil {
		return err
	}
	pool := x509.NewCertPool()
	pool.AddCert(server.Certificate())
	pool.AddCert(roots[0])
	address := s.URL() + "/v1/enroll"
	ours, err := newDoor(ctx, address, pool, n*r.Pairs, enrollWith(token))
	if err != nil {
		return err
	}
	fresh, err := newDoor(ctx, address, pool, n*r.Pairs, enrollWith(stranger))
	if err != nil {
		return err
	}
	theirs, err := newDoor(ctx, server.URL+"/1.0/sign", pool, n*r.Pairs, func() (any, error) {
		text, err := rival.Token()
		if err != nil {
			return nil, err
		}
		_, csr, err := newRequest(rival.template())
		return map[string]string{"csr": string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: csr})), "ott": text}, err
	})
	if err != nil {
		return err
	}
	costs, _, err := r.compare(n, ours.knock(ctx, http.StatusOK), theirs.knock(ctx, http.StatusCreated), fresh.knock(ctx, http.StatusOK))
	if err := errors.Join(err, ours.wires.close(), theirs.wires.close(), fresh.wires.close()); err != nil {
		return err
	}
	rate := func(c cost) float64 { return float64(time.Second) / float64(c.wall) }
	r.add("token enrollments over HTTPS", rate(costs[0]), "/s", 0)
	r.add("CPU of one, both ends", micros(costs[0].cpu), "us", 0)
	r.add("token enrollments of step-ca over HTTPS", rate(costs[1]), "/s", 0)
	r.add("CPU of one of step-ca, both ends", micros(costs[1].cpu), "us", 0)
	r.atLeast("token enrollments over those of step-ca", rate(costs[0])/rate(costs[1]), "x", 3)
	r.add("token enrollments of as many new parties over those of step-ca", rate(costs[2])/rate(costs[1]), "x", 0)
	return nil
}

// enrollWith makes requests with tokens.
func enrollWith(token func() (string, error)) func() (any, error) {
	return func() (any, error) {
		text, err := token()
		if err != nil {
			return nil, err
		}
		_, csr, err := newRequest(nil)
		return enroll.EnrollRequest{Token: text, CSR: csr}, err
	}
}

// A door is where tokens are redeemed, and requests for it that are ready.
type door struct {
	wires    *wires
	requests chan []byte
}

// newDoor makes n requests, each with a token and a key of its own.
func newDoor(ctx context.Context, url string, roots *x509.CertPool, n int, body func() (any, error)) (*door, error) {
	w, err := newWires(url, callers, roots) // HTTP/1.1: each caller has a connection of its own
	if err != nil {
		return nil, err
	}
	d := &door{wires: w, requests: make(chan []byte, n)}
	return d, together(n, callers, func() error {
		what, err := body()
		if err != nil {
			return err
		}
		text, err := json.Marshal(what)
		if err != nil {
			return err
		}
		raw, err := request(ctx, http.MethodPost, url, "application/json", text)
		d.requests <- raw
		return err
	})
}

// knock sends so many of the requests.
func (d *door) knock(ctx context.Context, want int) func(n int) error {
	return func(n int) error {
		return together(n, callers, func() error { return d.wires.exchange(ctx, <-d.requests, want) })
	}
}
