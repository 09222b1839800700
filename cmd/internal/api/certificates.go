package api

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"net/http"
	"time"

	"github.com/payca/payca/ca"
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
	return reply(w, http.StatusOK, c)
}

func hexSum(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

func mayReadAll(peer *policy.Peer) bool {
	return peer.Identity.Role == policy.Operator || peer.Identity.Role == policy.Auditor
}

// A RevocationRequest names what to revoke: one certificate, or all valid ones of a party.
type RevocationRequest struct {
	Serial string `json:"serial,omitempty"`
	Party  string `json:"party,omitempty"`
	Reason string `json:"reason"` // as RFC 5280 names it
}

// A RevocationReply says what was revoked and in which CRLs it stands.
type RevocationReply struct {
	Revoked []ca.Revocation   `json:"revoked"`
	Already int               `json:"already"` // certificates that were revoked before
	CRLs    map[string]uint64 `json:"crls"`    // number of the CRL that lists them, by issuer
}

// revoke: POST /v1/revocations. Operators revoke anything, a party its own.
// When it answers, OCSP and the CRLs named say so.
func (a *api) revoke(w http.ResponseWriter, r *http.Request) error {
	peer, err := caller(r)
	if err != nil {
		return err
	}
	var req RevocationRequest
	if err := decode(r, &req); err != nil {
		return err
	}
	reason, err := ca.ParseReason(req.Reason)
	if err != nil {
		return badParameter("reason", req.Reason, "a reason of RFC 5280 section 5.3.1, such as keyCompromise or superseded")
	}
	records, err := a.toRevoke(r, req, peer)
	if err != nil {
		return err
	}
	answer := RevocationReply{Revoked: []ca.Revocation{}, CRLs: map[string]uint64{}}
	err = a.revokeAll(r, records, ca.RevokeRequest{Reason: reason, By: peer.Identity.String(), From: r.RemoteAddr}, req.Party != "", &answer)
	for issuer := range answer.CRLs { // also when a later one failed: what is revoked is to be seen
		number, publishErr := a.cfg.Status.Publish(r.Context(), issuer)
		answer.CRLs[issuer] = number
		err = errors.Join(err, publishErr)
	}
	if err != nil {
		return err
	}
	return reply(w, http.StatusOK, answer)
}

// revokeAll revokes the records one by one. Of many, those that were revoked before are counted and no error.
func (a *api) revokeAll(r *http.Request, records []ca.Record, request ca.RevokeRequest, many bool, answer *RevocationReply) error {
	for _, record := range records {
		request.Serial = record.Serial
		revocation, err := a.cfg.Authority.Revoke(r.Context(), request)
		var already *ca.RevokedError
		if errors.As(err, &already) && many {
			if record.Revocation != nil {
				answer.Already++
				continue
			}
			revocation, err = already.Revocation, nil // as one of the same key, a moment ago
		}
		if err != nil {
			return err
		}
		answer.Revoked = append(answer.Revoked, revocation)
		answer.CRLs[record.Issuer] = 0
	}
	return nil
}

// toRevoke finds the certificates that req names and the caller may revoke.
func (a *api) toRevoke(r *http.Request, req RevocationRequest, peer *policy.Peer) ([]ca.Record, error) {
	if (req.Serial == "") == (req.Party == "") {
		return nil, badParameter("serial, party", req.Serial+", "+req.Party, "exactly one of the two")
	}
	own := peer.Identity.Role != policy.Operator
	if req.Serial != "" {
		serial, err := ca.ParseSerial(req.Serial)
		if err != nil {
			return nil, badParameter("serial", req.Serial, "hexadecimal digits")
		}
		record, err := a.cfg.Store.BySerial(r.Context(), serial)
		if err == nil && own && record.Party != peer.Identity.Party {
			err = ca.ErrNotFound
		}
		return []ca.Record{record}, err
	}
	if own && req.Party != peer.Identity.Party {
		return nil, ca.ErrNotFound
	}
	if _, err := a.cfg.Store.Party(r.Context(), req.Party); err != nil {
		return nil, err
	}
	var records []ca.Record
	for record, err := range a.cfg.Store.Certificates(r.Context(), ca.Filter{Party: req.Party}) {
		if err != nil {
			return nil, err
		}
		if a.cfg.Now().Before(record.NotAfter) {
			records = append(records, record)
		}
	}
	return records, nil
}
