package api

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"net/http"
	"time"

	"github.com/payca/payca/ca"
	"github.com/payca/payca/enroll/problem"
	"github.com/payca/payca/policy"
)

// A Certificate is one entry of the inventory.
type Certificate struct {
	ca.Record
	Thumbprint string   `json:"thumbprint"`    // SHA-256 of the DER, hexadecimal
	Kind       string   `json:"kind"`          // what the key is for, one of ca.Kinds
	Names      []string `json:"names"`         // DNS names, IP addresses and URIs
	Status     string   `json:"status"`        // valid, expired, revoked
	Key        string   `json:"key"`           // algorithm of the key, as in P-256
	KeySHA256  string   `json:"key_sha256"`    // of the SubjectPublicKeyInfo, hexadecimal
	Signature  string   `json:"signature"`     // algorithm with which it is signed
	PEM        string   `json:"pem,omitempty"` // only where one certificate is asked for
}

func certificateOf(record ca.Record, now time.Time) Certificate {
	sum := sha256.Sum256(record.DER)
	c := Certificate{Record: record, Kind: ca.CertificateKind(record.DER), Names: ca.AlternativeNames(record.DER), Thumbprint: hex.EncodeToString(sum[:]), Status: "valid", KeySHA256: hex.EncodeToString(record.SPKI[:])}
	if parsed, err := x509.ParseCertificate(record.DER); err == nil { // else an importer wrote it, and there is no more to say
		c.Key, c.Signature = policy.DescribeKey(parsed.PublicKey), parsed.SignatureAlgorithm.String()
	}
	switch {
	case record.Revocation != nil:
		c.Status = "revoked"
	case now.After(record.NotAfter):
		c.Status = "expired"
	}
	return c
}

// showCertificate: GET /v1/certificates/{serial}
func (a *api) showCertificate(w http.ResponseWriter, r *http.Request) error {
	peer, err := caller(r)
	if err != nil {
		return err
	}
	serial, err := ca.ParseSerial(r.PathValue("serial"))
	if err != nil {
		return badParameter("serial", r.PathValue("serial"), "hexadecimal digits")
	}
	record, err := a.cfg.Store.BySerial(r.Context(), serial)
	if err != nil {
		return err
	}
	if !mayReadAll(peer) && record.Party != peer.Identity.Party {
		return ca.ErrNotFound // not 403: who asks learns nothing about others
	}
	c := certificateOf(record, a.cfg.Now())
	c.PEM = string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: record.DER}))
	return problem.WriteJSON(w, http.StatusOK, c)
}

func hexSum(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

func mayReadAll(peer *policy.Peer) bool {
	return peer.Identity.Role == policy.Operator || peer.Identity.Role == policy.Auditor
}
