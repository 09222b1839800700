package enroll

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/payca/payca/enroll/problem"
	"github.com/payca/payca/policy"
)

// maxChain is how many octets of a chain [FetchCertificate] reads.
const maxChain = 64 << 10

// Thumbprint returns the SHA-256 of a certificate's DER in base64url without padding: the
// x5t#S256 of JOSE (RFC 7515 section 4.1.8), 43 characters.
func Thumbprint(cert *x509.Certificate) string {
	sum := sha256.Sum256(cert.Raw)
	return encode(sum[:])
}

// ParseThumbprint reads what [Thumbprint] wrote, and nothing else.
func ParseThumbprint(text string) (thumbprint [32]byte, err error) {
	raw, err := decode(text)
	if err != nil || len(raw) != len(thumbprint) {
		return thumbprint, fmt.Errorf("thumbprint %.64q, want the SHA-256 of a certificate in 43 characters of base64url", text)
	}
	return [32]byte(raw), nil
}

// FetchCertificate asks the certificate directory at baseURL, http or https, for the certificate with
// that thumbprint, which comes first, and its issuer's. That it is the one asked for has been checked;
// whether to believe it is for the caller to ask: policy.Trust, and the status of
// the certificate. A refusal is a *problem.Problem, of status 404 for a thumbprint that the CA does not know.
func FetchCertificate(ctx context.Context, client *http.Client, baseURL, thumbprint string) ([]*x509.Certificate, error) {
	if _, err := ParseThumbprint(thumbprint); err != nil {
		return nil, err
	}
	chain, err := fetchChain(ctx, client, strings.TrimSuffix(baseURL, "/")+"/certs/"+thumbprint)
	if err == nil && Thumbprint(chain[0]) != thumbprint {
		err = fmt.Errorf("the directory answered with certificate %s", Thumbprint(chain[0]))
	}
	if err != nil {
		return nil, fmt.Errorf("fetching certificate %s: %w", thumbprint, err)
	}
	return chain, nil
}

// FetchEncryption asks the directory at baseURL for the newest encryption certificate of a party, which comes first, and its
// issuer's. They are not checked. A refusal is a *problem.Problem, of status 404 for a party without one.
func FetchEncryption(ctx context.Context, client *http.Client, baseURL, party string) ([]*x509.Certificate, error) {
	if err := policy.CheckPartyID(party); err != nil {
		return nil, err
	}
	chain, err := fetchChain(ctx, client, strings.TrimSuffix(baseURL, "/")+"/certs/"+party+"/encryption")
	if err != nil {
		return nil, fmt.Errorf("fetching the encryption certificate of %s: %w", party, err)
	}
	return chain, nil
}

func fetchChain(ctx context.Context, client *http.Client, url string) ([]*x509.Certificate, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	if err := problem.Read(resp); err != nil {
		return nil, err
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxChain+1))
	if err != nil {
		return nil, err
	}
	if len(body) > maxChain {
		return nil, fmt.Errorf("got more than %d octets, want a certificate and its issuer's", maxChain)
	}
	return parseCertificates(body)
}
