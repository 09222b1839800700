package cli

import (
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/payca/payca/ca"
	"github.com/payca/payca/enroll"
	"github.com/payca/payca/ocsp"
)

func inspectOCSPRequest(der []byte) (*object, error) {
	r, err := ocsp.ParseRequest(der)
	if err != nil {
		return nil, err
	}
	o := newObject("OCSP request")
	o.add("nonce", hex.EncodeToString(r.Nonce))
	var asked []*object
	for _, id := range r.CertIDs {
		asked = append(asked, certID(id))
	}
	o.add("certificates", asked)
	return o, nil
}

func certID(id ocsp.CertID) *object {
	o := &object{}
	o.add("serial", hex.EncodeToString(id.Serial))
	hash := "unknown"
	if id.Hash != 0 {
		hash = id.Hash.String()
	}
	o.add("hash", hash)
	o.add("issuer_name_hash", hex.EncodeToString(id.IssuerNameHash))
	o.add("issuer_key_hash", hex.EncodeToString(id.IssuerKeyHash))
	return o
}

func inspectOCSPResponse(der []byte) (*object, error) {
	o := newObject("OCSP response")
	r, err := ocsp.ParseResponse(der)
	if refused, ok := errors.AsType[*ocsp.ResponseError](err); ok {
		o.add("outcome", refused.Status.String())
		return o, nil
	}
	if err != nil {
		return nil, err
	}
	o.add("outcome", ocsp.Successful.String())
	o.add("responder_key_hash", hex.EncodeToString(r.ResponderKeyHash))
	o.add("responder", nameText(r.ResponderName))
	o.add("produced_at", stamp(r.ProducedAt))
	o.add("nonce", hex.EncodeToString(r.Nonce))
	if r.ExtendedRevoke {
		o.add("extended_revoke", true)
	}
	var answers []*object
	for _, s := range r.Singles {
		answer := certID(s.CertID)
		answer.add("status", s.State.String())
		if s.State == ocsp.Revoked {
			answer.add("revoked_at", stamp(s.RevokedAt))
			answer.add("reason", reasonText(s.Reason))
			if !s.Invalidity.IsZero() {
				answer.add("invalidity_date", stamp(s.Invalidity))
			}
			if s.NeverIssued {
				answer.add("never_issued", true)
			}
		}
		answer.add("this_update", stamp(s.ThisUpdate))
		answer.add("next_update", stamp(s.NextUpdate))
		if !s.ArchiveCutoff.IsZero() {
			answer.add("archive_cutoff", stamp(s.ArchiveCutoff))
		}
		answers = append(answers, answer)
	}
	o.add("answers", answers)
	var signers []*object
	for _, c := range r.Certificates {
		signer := &object{}
		signer.add("subject", c.Subject.String())
		signer.add("serial", hexInt(c.SerialNumber))
		signer.add("not_after", stamp(c.NotAfter))
		signers = append(signers, signer)
	}
	o.add("signers", signers)
	return o, nil
}

// nameText writes a Name in DER as text, "" for none.
func nameText(der []byte) string {
	var rdns pkix.RDNSequence
	if rest, err := asn1.Unmarshal(der, &rdns); err != nil || len(rest) > 0 {
		return hex.EncodeToString(der)
	}
	return rdns.String()
}

// reasonText names a reason code, "" for none.
func reasonText(code int) string {
	switch {
	case code == 0:
		return ""
	case code == 8:
		return "removeFromCRL" // of delta CRLs alone
	case code < 0 || code > 255:
		return fmt.Sprintf("reason(%d)", code)
	}
	return ca.Reason(code).String()
}

// inspectToken reads an enrollment token. It verifies nothing and shows no signature, without which a token is of no use.
func inspectToken(text string) (*object, error) {
	t, err := enroll.ReadToken(text)
	if err != nil {
		return nil, err
	}
	o := newObject("enrollment token")
	o.add("id", t.ID)
	o.add("party", t.Party)
	o.add("role", t.Role)
	o.add("profile", t.Profile)
	o.add("network", t.Network)
	o.add("url", t.URL)
	o.add("root_sha256", t.RootFingerprint)
	o.add("names", t.DNSNames)
	o.add("request_hash", t.RequestHash)
	o.add("key_hash", t.KeyHash)
	o.add("issued_at", stamp(t.IssuedAt))
	o.add("not_after", stamp(t.NotAfter))
	return o, nil
}
