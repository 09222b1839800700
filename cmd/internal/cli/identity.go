package cli

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/payca/payca/ca"
	"github.com/payca/payca/cmd/internal/api"
	"github.com/payca/payca/cmd/internal/network"
	"github.com/payca/payca/enroll"
)

// maxFile bounds every file that a command reads.
const maxFile = 16 << 20

// operatorClient is the API client of the operator in --dir.
type operatorClient struct {
	*api.Client
	Network string
}

// operator calls the CA as the operator whose identity is in --dir.
func (a *app) operator() (*operatorClient, error) { return a.clientAs(network.Operator) }

// clientAs calls the CA as the identity of that name in --dir.
func (a *app) clientAs(name string) (*operatorClient, error) {
	dir := filepath.Join(a.dir, name)
	source, err := enroll.OpenSource(enroll.SourceConfig{Dir: dir})
	if errors.Is(err, os.ErrNotExist) && name == network.Operator {
		return nil, fail(ExitFailure, fmt.Errorf("no operator's identity in %s", dir), "payca init makes one; --dir names another place")
	}
	if errors.Is(err, os.ErrNotExist) {
		return nil, fail(ExitUsage, fmt.Errorf("no identity %q in %s", name, a.dir), "name one with --as")
	}
	if err != nil {
		return nil, err
	}
	client, err := api.NewClient(source)
	return &operatorClient{Client: client, Network: source.Identity().Network}, err
}

// source opens the named identity in --dir; "" finds the only one, or the operator's.
func (a *app) source(name string) (*enroll.Source, error) {
	if name == "" {
		dirs, err := a.identities(nil)
		if err != nil {
			return nil, err
		}
		name = filepath.Base(dirs[0])
		if len(dirs) > 1 {
			name = network.Operator
		}
	}
	source, err := enroll.OpenSource(enroll.SourceConfig{Dir: filepath.Join(a.dir, name)})
	if errors.Is(err, os.ErrNotExist) {
		return nil, fail(ExitUsage, fmt.Errorf("no identity %q in %s", name, a.dir), "name one with --as")
	}
	return source, err
}

// readCertificates reads all certificates of a PEM or DER file, at least one.
func readCertificates(path string) ([]*x509.Certificate, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	raw, err := io.ReadAll(io.LimitReader(f, maxFile))
	if err != nil {
		return nil, err
	}
	der := raw
	if block, _ := pem.Decode(raw); block != nil {
		der = nil
		for rest := raw; ; {
			if block, rest = pem.Decode(rest); block == nil {
				break
			}
			if block.Type == "CERTIFICATE" {
				der = append(der, block.Bytes...)
			}
		}
	}
	certificates, err := x509.ParseCertificates(der)
	if err == nil && len(certificates) == 0 {
		err = errors.New("no certificate in it")
	}
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", path, err)
	}
	return certificates, nil
}

// lookUp finds an issued certificate by serial, or the newest of a party.
func lookUp(ctx context.Context, client *operatorClient, what string) (api.Certificate, error) {
	if serial, ok := serialArgument(what); ok {
		return client.Certificate(ctx, serial.String())
	}
	var newest *ca.Serial
	for c, err := range client.Certificates(ctx, url.Values{"party": {what}}) {
		if err != nil {
			return api.Certificate{}, err
		}
		newest = &c.Serial
	}
	if newest == nil {
		return api.Certificate{}, fail(ExitFailure, fmt.Errorf("%s has no certificate", what), "want a certificate file, a serial, or a party that was enrolled")
	}
	return client.Certificate(ctx, newest.String())
}

// issuerOf fetches the certificate of leaf's issuer from where leaf says it is.
func (a *app) issuerOf(ctx context.Context, leaf *x509.Certificate) (*x509.Certificate, error) {
	if len(leaf.IssuingCertificateURL) == 0 {
		return nil, errors.New("the certificate does not say where its issuer is, want it behind the certificate in the file")
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, leaf.IssuingCertificateURL[0], nil)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	der, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	if err != nil {
		return nil, err
	}
	issuer, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", leaf.IssuingCertificateURL[0], err)
	}
	return issuer, leaf.CheckSignatureFrom(issuer)
}
