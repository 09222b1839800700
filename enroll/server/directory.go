package server

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/payca/payca/enroll"
	"github.com/payca/payca/enroll/problem"
)

// DirectoryPath is what the paths of the certificate directory start with.
const DirectoryPath = "/certs/"

// A Finder looks up the certificate whose DER has this SHA-256. It returns the certificate and its issuer's, a
// root alone, and nothing if there is no such certificate. It is safe for concurrent use.
type Finder func(ctx context.Context, thumbprint [32]byte) ([]*x509.Certificate, error)

// A Newest looks up the newest encryption certificate of a party that has not expired, with its issuer's; nothing if
// there is none. It is safe for concurrent use.
type Newest func(ctx context.Context, party string) ([]*x509.Certificate, error)

// encryptionPath is what the paths end with under which a party's encryption certificate is found.
const encryptionPath = "/encryption"

// NewDirectory returns the handler of GET /certs/{thumbprint}, where everybody finds the certificate that a message
// names by its x5t#S256 (RFC 7515 section 4.1.8), as application/pem-certificate-chain (RFC 8555
// section 9.1). What is found never changes: whether it is still good is for the status service to say.
// GET /certs/{party}/encryption answers in the same way with what to seal to for a party, which does change.
func NewDirectory(find Finder, newest Newest, problems problem.Writer) (http.Handler, error) {
	if find == nil || newest == nil {
		return nil, errors.New("certificate directory: want a Finder and a Newest")
	}
	return only(problems, http.MethodGet, problem.Handler(problems, func(w http.ResponseWriter, r *http.Request) error {
		text := strings.TrimPrefix(r.URL.Path, DirectoryPath)
		if party, ok := strings.CutSuffix(text, encryptionPath); ok {
			chain, err := newest(r.Context(), party)
			if err != nil {
				return err
			}
			if len(chain) == 0 {
				return problem.Errorf(http.StatusNotFound, "not-found", "there is no party %.64q with an encryption certificate", party)
			}
			w.Header().Set("Cache-Control", "public, max-age=60")
			return writeChain(w, r, chain)
		}
		thumbprint, err := enroll.ParseThumbprint(text)
		if err != nil {
			return problem.Errorf(http.StatusBadRequest, "bad-parameter", "%w", err)
		}
		chain, err := find(r.Context(), thumbprint)
		if err != nil {
			return err
		}
		if len(chain) == 0 {
			return problem.Errorf(http.StatusNotFound, "not-found", "no certificate of this CA has the thumbprint %s", text)
		}
		w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
		w.Header().Set("ETag", `"`+text+`"`)
		return writeChain(w, r, chain)
	})), nil
}

// writeChain answers with certificates in PEM.
func writeChain(w http.ResponseWriter, r *http.Request, chain []*x509.Certificate) error {
	var body bytes.Buffer
	for _, c := range chain {
		if err := pem.Encode(&body, &pem.Block{Type: "CERTIFICATE", Bytes: c.Raw}); err != nil {
			return err
		}
	}
	w.Header().Set("Content-Type", "application/pem-certificate-chain")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(body.Bytes()))
	return nil
}
