package est

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"mime/multipart"
	"net/http"
	"net/textproto"
	"slices"

	"github.com/payca/payca/enroll/problem"
	"github.com/payca/payca/policy"
)

// keygen: RFC 7030 section 4.4. The request says nothing but that somebody wants a certificate: key and names are the CA's.
func (d *door) keygen(w http.ResponseWriter, r *http.Request, profile *policy.Profile) error {
	if profile == nil || !profile.Config().ServerKeygen {
		return problem.Errorf(http.StatusForbidden, "no-key-generation",
			"keys are made by who uses them, want simpleenroll, or the label of a profile with server_keygen")
	}
	return d.authenticated(w, r, func(w http.ResponseWriter, r *http.Request, c caller) error {
		if _, err := readRequest(r); err != nil {
			return err
		}
		key, csr, err := newKey(profile.Config())
		if err != nil {
			return err
		}
		issued, err := d.issue(r, c, profile, csr)
		if err != nil {
			return d.answer(w, nil, err)
		}
		private, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			return err
		}
		certs, err := certsOnly(issued.Chain[:1])
		if err != nil {
			return err
		}
		return sendParts(w, part{typePKCS8, private}, part{typeCerts, certs})
	})
}

// newKey makes a key of the first kind that the profile takes and that can be made here.
func newKey(cfg policy.ProfileConfig) (crypto.Signer, []byte, error) {
	curve := elliptic.P256()
	switch {
	case slices.Contains(cfg.Keys, policy.KeyP256):
	case slices.Contains(cfg.Keys, policy.KeyP384):
		curve = elliptic.P384()
	default:
		return nil, nil, errors.New("the profile takes no key that is made here")
	}
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	return key, csr, err
}

type part struct {
	mediaType string
	body      []byte
}

// sendParts answers with multipart/mixed.
func sendParts(w http.ResponseWriter, parts ...part) error {
	var body bytes.Buffer
	mw := multipart.NewWriter(&body)
	for _, p := range parts {
		pw, err := mw.CreatePart(textproto.MIMEHeader{"Content-Type": {p.mediaType}, "Content-Transfer-Encoding": {"base64"}})
		if err != nil {
			return err
		}
		if _, err := pw.Write([]byte(base64.StdEncoding.EncodeToString(p.body))); err != nil {
			return err
		}
	}
	if err := mw.Close(); err != nil {
		return err
	}
	w.Header().Set("Content-Type", "multipart/mixed; boundary="+mw.Boundary())
	w.Header().Set("Cache-Control", "no-store")
	_, err := w.Write(body.Bytes())
	return err
}
