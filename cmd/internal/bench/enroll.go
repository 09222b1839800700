package bench

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
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
	token := func() (string, error) {
		made, err := operator.CreateToken(ctx, api.TokenRequest{Party: shop})
		return made.Token, err
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
	return r.tokenRoutes(ctx, s, token)
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

// tokenRoutes measures POST /v1/enroll beside POST /1.0/sign of step-ca, over HTTPS, with kept-alive connections.
func (r *runner) tokenRoutes(ctx context.Context, s *site, token func() (string, error)) (err error) {
	n := r.n(200)
	_, csr, err := newRequest(nil)
	if err != nil {
		return err
	}
	ours, err := bodies(n*r.Pairs, token, func(token string) any { return enroll.EnrollRequest{Token: token, CSR: csr} })
	if err != nil {
		return err
	}
	rival, err := r.newRival()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rival.close()) }()
	text := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: rival.csr}))
	theirs, err := bodies(n*r.Pairs, rival.Token, func(token string) any { return map[string]string{"csr": text, "ott": token} })
	if err != nil {
		return err
	}
	server := httptest.NewUnstartedServer(rival.Handler())
	server.StartTLS()
	defer server.Close()
	pool := x509.NewCertPool()
	pool.AddCert(server.Certificate())
	roots, err := enroll.ReadCertificates(filepath.Join(s.dir, "operator", enroll.RootFile))
	if err != nil {
		return err
	}
	pool.AddCert(roots[0])
	// HTTP/1.1 for both: each caller has a connection of its own.
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS13}, MaxIdleConnsPerHost: callers}}
	defer client.CloseIdleConnections()
	post := func(url string, bodies <-chan []byte, want int) func(n int) error {
		return func(n int) error {
			return together(n, callers, func() error { return postJSON(ctx, client, url, <-bodies, want) })
		}
	}
	costs, _, err := r.compare(
		n, post(s.URL()+"/v1/enroll", ours, http.StatusOK), post(server.URL+"/1.0/sign", theirs, http.StatusCreated),
	)
	if err != nil {
		return err
	}
	rate := func(c cost) float64 { return float64(time.Second) / float64(c.wall) }
	r.add("token enrollments over HTTPS", rate(costs[0]), "/s", 0)
	r.add("CPU of one, both ends", micros(costs[0].cpu), "us", 0)
	r.add("token enrollments of step-ca over HTTPS", rate(costs[1]), "/s", 0)
	r.add("CPU of one of step-ca, both ends", micros(costs[1].cpu), "us", 0)
	r.atLeast("token enrollments over those of step-ca", rate(costs[0])/rate(costs[1]), "x", 3)
	return nil
}

// bodies makes n requests, each with a token of its own.
func bodies(n int, token func() (string, error), body func(token string) any) (<-chan []byte, error) {
	made := make(chan []byte, n)
	return made, together(n, callers, func() error {
		token, err := token()
		if err != nil {
			return err
		}
		raw, err := json.Marshal(body(token))
		made <- raw
		return err
	})
}

func postJSON(ctx context.Context, client *http.Client, url string, body []byte, want int) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	answer, err := io.ReadAll(resp.Body)
	if err = errors.Join(err, resp.Body.Close()); err == nil && resp.StatusCode != want {
		err = fmt.Errorf("%s answers %s: %.200s", url, resp.Status, answer)
	}
	return err
}
