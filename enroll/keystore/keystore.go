package keystore

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"

	pkcs12 "software.sslmate.com/src/go-pkcs12"

	"github.com/payca/payca/enroll"
	"github.com/payca/payca/policy"
)

// maxFile bounds what is read of a file that may be replaced.
const maxFile = 1 << 20

// A Form is how an identity is written.
type Form string

// The forms.
const (
	PKCS12     Form = "pkcs12"     // key, certificate, issuer and root, encrypted (RFC 7292)
	TrustStore Form = "truststore" // the root, as Java finds it in a PKCS#12 file
	PEM        Form = "pem"        // certificate, issuer, then the key (RFC 7468), not encrypted
)

// TrustStorePassword is the password of trust stores for which none is said: Java's own. They hold nothing secret.
const TrustStorePassword = pkcs12.DefaultPassword

// Encode returns the identity in a form. The password is for the forms that have one.
func Encode(form Form, c *enroll.Credential, password string) ([]byte, error) {
	switch form {
	case PKCS12:
		return pkcs12.Modern2023.Encode(c.Key, c.Leaf(), append(append([]*x509.Certificate{}, c.Chain[1:]...), c.Roots...), password)
	case TrustStore:
		var entries []pkcs12.TrustStoreEntry
		for i, root := range c.Roots {
			name := c.Identity.Network
			if i > 0 {
				name = fmt.Sprintf("%s-%d", name, i+1)
			}
			entries = append(entries, pkcs12.TrustStoreEntry{Cert: root, FriendlyName: name})
		}
		return pkcs12.Modern2023.EncodeTrustStoreEntries(entries, password)
	case PEM:
		der, err := x509.MarshalPKCS8PrivateKey(c.Key)
		if err != nil {
			return nil, err
		}
		var text []byte
		for _, certificate := range c.Chain {
			text = append(text, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate.Raw})...)
		}
		return append(text, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})...), nil
	}
	return nil, fmt.Errorf("form %q, want %s, %s or %s", form, PKCS12, TrustStore, PEM)
}

// decode returns what a file in a form holds: certificates, the party's first.
func decode(form Form, raw []byte, password string) ([]*x509.Certificate, error) {
	switch form {
	case PKCS12:
		_, leaf, others, err := pkcs12.DecodeChain(raw, password)
		if err != nil {
			return nil, err
		}
		return append([]*x509.Certificate{leaf}, others...), nil
	case TrustStore:
		return pkcs12.DecodeTrustStore(raw, password)
	}
	var found []*x509.Certificate
	for block, rest := pem.Decode(raw); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			continue
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, err
		}
		found = append(found, c)
	}
	if len(found) == 0 {
		return nil, errors.New("no certificate in PEM")
	}
	return found, nil
}

// A File is where an identity is kept in a form.
type File struct {
	Form     Form
	Path     string
	Password string
}

// Write makes the file hold the identity, and says whether it changed. A file that is there is replaced only if it
// holds an older certificate of the same party, whose key the identity directory keeps, or roots; it keeps its mode.
func (f File) Write(c *enroll.Credential) (changed bool, err error) {
	mode := fs.FileMode(0o600)
	if f.Form == TrustStore {
		mode = 0o644
	}
	info, err := os.Stat(f.Path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return false, err
	default:
		mode = info.Mode().Perm()
		same, err := f.holds(c)
		if same || err != nil {
			return false, err
		}
	}
	raw, err := Encode(f.Form, c, f.Password)
	if err != nil {
		return false, fmt.Errorf("encoding %s: %w", f.Path, err)
	}
	return true, enroll.WriteFile(f.Path, raw, mode)
}

// holds says whether the file holds the identity already. An error says that it holds what must not be replaced.
func (f File) holds(c *enroll.Credential) (bool, error) {
	raw, err := os.ReadFile(f.Path)
	if err != nil {
		return false, err
	}
	refuse := func(why error) error {
		return fmt.Errorf("%s is there and is no %s of %s: %w: want another name, or the file moved away", f.Path, f.Form, c.Identity.Party, why)
	}
	if len(raw) > maxFile {
		return false, refuse(fmt.Errorf("%d octets, want at most %d", len(raw), maxFile))
	}
	found, err := decode(f.Form, raw, f.Password)
	if err != nil {
		return false, refuse(err)
	}
	want := c.Chain
	if f.Form == TrustStore {
		if want = c.Roots; sameCertificates(found, want) {
			return true, nil
		}
		for _, root := range found {
			if !bytes.Equal(root.RawSubject, want[0].RawSubject) {
				return false, refuse(fmt.Errorf("it trusts %s", root.Subject))
			}
		}
		return false, nil
	}
	holder, err := policy.IdentityOf(found[0], c.Identity.Network)
	if err == nil && holder != c.Identity {
		err = fmt.Errorf("it holds %s", holder)
	}
	if err != nil {
		return false, refuse(err)
	}
	if f.Form == PKCS12 {
		want = append(append([]*x509.Certificate{}, want...), c.Roots...)
	}
	return sameCertificates(found, want), nil
}

func sameCertificates(a, b []*x509.Certificate) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if !a[i].Equal(b[i]) {
			return false
		}
	}
	return true
}
