package enroll

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/payca/payca/policy"
)

// The files of an identity directory.
const (
	CertificateFile = "cert.pem"   // the certificate, then its issuer's
	KeyFile         = "key.pem"    // PKCS#8, mode 0600
	RootFile        = "ca.pem"     // the root
	MetaFile        = "payca.json" // network, role, party, URL of the CA
	pending         = ".new"       // suffix of a file that is about to take its name
)

// A Credential is an identity with its key: what a party proves itself with.
type Credential struct {
	Identity policy.Identity
	URL      string // https URL of the CA
	Key      crypto.Signer
	Chain    []*x509.Certificate // the certificate, then its issuer's
	Roots    []*x509.Certificate

	tls *tls.Certificate // as it was given, nil if it was read from files
}

// meta is the content of MetaFile.
type meta struct {
	Network string      `json:"network"`
	Role    policy.Role `json:"role"`
	Party   string      `json:"party"`
	URL     string      `json:"url"`
}

// Leaf returns the certificate itself.
func (c *Credential) Leaf() *x509.Certificate { return c.Chain[0] }

// TLS returns the credential as crypto/tls wants it.
func (c *Credential) TLS() *tls.Certificate {
	if c.tls != nil {
		return c.tls
	}
	t := &tls.Certificate{PrivateKey: c.Key, Leaf: c.Leaf()}
	for _, certificate := range c.Chain {
		t.Certificate = append(t.Certificate, certificate.Raw)
	}
	return t
}

// Trust returns what the credential's owner believes others by.
func (c *Credential) Trust() policy.Trust {
	return policy.Trust{Network: c.Identity.Network, Roots: c.Roots}
}

// RenewAfter is when two thirds of a certificate's life are over.
func RenewAfter(leaf *x509.Certificate) time.Time {
	return leaf.NotBefore.Add(leaf.NotAfter.Sub(leaf.NotBefore) * 2 / 3)
}

// NewKey makes a P-256 key and a request (PKCS#10, DER) that proves it is held. The
// CA writes every name, so the request carries none.
func NewKey() (crypto.Signer, []byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, fmt.Errorf("making a key: %w", err)
	}
	request, err := newRequest(key)
	return key, request, err
}

func newRequest(key crypto.Signer) ([]byte, error) {
	request, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	if err != nil {
		return nil, fmt.Errorf("making a certificate request: %w", err)
	}
	return request, nil
}

// Open reads the identity in dir, and finishes a change that a crash cut short.
// An error wraps fs.ErrNotExist if there is none.
func Open(dir string) (*Credential, error) {
	c, err := read(dir)
	if err != nil {
		return nil, fmt.Errorf("opening the identity in %s: %w", dir, err)
	}
	return c, nil
}

func read(dir string) (*Credential, error) {
	raw, err := os.ReadFile(filepath.Join(dir, MetaFile))
	if err != nil {
		return nil, err
	}
	var m meta
	if err := json.Unmarshal(raw, &m); err != nil {
		return nil, fmt.Errorf("%s: %w", MetaFile, err)
	}
	c := &Credential{Identity: policy.Identity{Network: m.Network, Role: m.Role, Party: m.Party}, URL: m.URL}
	if c.Roots, err = ReadCertificates(filepath.Join(dir, RootFile)); err != nil {
		return nil, err
	}
	if c.Chain, err = ReadCertificates(filepath.Join(dir, CertificateFile)); err != nil {
		return nil, err
	}
	c.Key, err = settle(dir, c.Leaf())
	return c, err
}

// settle reads the key of the certificate in dir. A crash between the two renames of save left
// the new certificate beside the new key's temporary name; then it is given its own.
func settle(dir string, leaf *x509.Certificate) (crypto.Signer, error) {
	path := filepath.Join(dir, KeyFile)
	key, err := readKey(path, leaf)
	if err == nil {
		return key, nil
	}
	key, newErr := readKey(path+pending, leaf)
	if newErr != nil {
		return nil, err
	}
	return key, errors.Join(os.Rename(path+pending, path), syncDir(dir))
}

// errMismatch says that a key is not the certificate's.
var errMismatch = errors.New("the key is not the certificate's")

func readKey(path string, leaf *x509.Certificate) (crypto.Signer, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(raw)
	key, err := parseKey(block, leaf)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return key, nil
}

// parseKey reads the key of a certificate, in PKCS#8.
func parseKey(block *pem.Block, leaf *x509.Certificate) (crypto.Signer, error) {
	if block == nil || block.Type != "PRIVATE KEY" {
		return nil, errors.New("want a PRIVATE KEY in PEM")
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, err
	}
	key, ok := parsed.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("%T cannot sign", parsed)
	}
	if !sameKey(key.Public(), leaf.PublicKey) {
		return nil, errMismatch
	}
	return key, nil
}

// ReadCertificates reads a file of one or more certificates in PEM and nothing else.
func ReadCertificates(path string) ([]*x509.Certificate, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	certificates, err := parseCertificates(raw)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return certificates, nil
}

// parseCertificates reads one or more certificates in PEM and nothing else.
func parseCertificates(text []byte) ([]*x509.Certificate, error) {
	var out []*x509.Certificate
	for {
		block, rest := pem.Decode(text)
		if block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			return nil, fmt.Errorf("found %s, want CERTIFICATE", block.Type)
		}
		certificate, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, err
		}
		out, text = append(out, certificate), rest
	}
	if len(out) == 0 {
		return nil, errors.New("no certificate, want one in PEM")
	}
	return out, nil
}

func encodeCertificates(certificates []*x509.Certificate) []byte {
	var out []byte
	for _, c := range certificates {
		out = append(out, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})...)
	}
	return out
}

// Save writes the credential to dir, in the place of one that may be there,
// and returns the paths of certificate, key and root. A key that is
// replaced is kept beside it, under the serial of its certificate.
func (c *Credential) Save(dir string) ([]string, error) {
	files, err := c.save(dir)
	if err != nil {
		return nil, fmt.Errorf("writing the identity to %s: %w", dir, err)
	}
	return files, nil
}

func (c *Credential) save(dir string) ([]string, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	if err := keepKey(dir, c.Key); err != nil {
		return nil, err
	}
	key, err := x509.MarshalPKCS8PrivateKey(c.Key)
	if err != nil {
		return nil, err
	}
	about, err := json.Marshal(meta{Network: c.Identity.Network, Role: c.Identity.Role, Party: c.Identity.Party, URL: c.URL})
	if err != nil {
		return nil, err
	}
	// All is on disk under temporary names before anything takes its own. The certificate goes before the
	// key, so that Open can tell which key was to follow; MetaFile, which makes the directory an identity, goes last.
	contents := []struct {
		name string
		data []byte
		mode fs.FileMode
	}{
		{RootFile, encodeCertificates(c.Roots), 0o644},
		{CertificateFile, encodeCertificates(c.Chain), 0o644},
		{KeyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}), 0o600},
		{MetaFile, append(about, '\n'), 0o644},
	}
	for _, f := range contents {
		if err := write(filepath.Join(dir, f.name+pending), f.data, f.mode); err != nil {
			return nil, err
		}
	}
	for _, f := range contents {
		if err := os.Rename(filepath.Join(dir, f.name+pending), filepath.Join(dir, f.name)); err != nil {
			return nil, err
		}
	}
	return []string{filepath.Join(dir, CertificateFile), filepath.Join(dir, KeyFile), filepath.Join(dir, RootFile)}, syncDir(dir)
}

// keepKey puts the key file in dir aside, whosever key it holds, unless it is the one that is to be written.
func keepKey(dir string, key crypto.Signer) error {
	path := filepath.Join(dir, KeyFile)
	chain, chainErr := ReadCertificates(filepath.Join(dir, CertificateFile))
	if chainErr == nil {
		_, _ = settle(dir, chain[0]) // a key that is not the certificate's, or cannot be read, is kept all the same
	}
	raw, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if block, _ := pem.Decode(raw); block != nil {
		if parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes); err == nil {
			if stands, ok := parsed.(crypto.Signer); ok && sameKey(stands.Public(), key.Public()) {
				return nil
			}
		}
	}
	sum := sha256.Sum256(raw)
	names := []string{fmt.Sprintf("key-%x.pem", sum[:8])}
	if chainErr == nil {
		names = []string{fmt.Sprintf("key-%x.pem", chain[0].SerialNumber), names[0]}
	}
	for _, name := range names {
		err := os.Link(path, filepath.Join(dir, name))
		if !errors.Is(err, fs.ErrExist) {
			return err
		}
		there, err := os.ReadFile(filepath.Join(dir, name)) //nolint:gosec // the name is made of hexadecimal digits
		if err != nil || bytes.Equal(there, raw) {
			return err
		}
	}
	return fmt.Errorf("%s holds another key than %s, want one of them moved away", names[len(names)-1], path)
}

// WriteFile makes a file of that content and mode, or puts it in the place of one that is there: whoever reads it finds
// the old content or the new, also after a crash. It is on disk when WriteFile returns.
func WriteFile(path string, data []byte, mode fs.FileMode) error {
	if err := write(path+pending, data, mode); err != nil {
		return err
	}
	if err := os.Rename(path+pending, path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

// write writes a file and waits until it is on disk.
func write(path string, data []byte, mode fs.FileMode) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// syncDir waits until the names in dir are on disk.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
