package cli

import (
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/payca/payca/ca"
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
	var answers []*object
	for _, s := range r.Singles {
		answer := certID(s.CertID)
		answer.add("status", s.State.String())
		if s.State == ocsp.Revoked {
			answer.add("revoked_at", stamp(s.RevokedAt))
			answer.add("reason", reasonText(s.Reason))
		}
		answer.add("this_update", stamp(s.ThisUpdate))
		answer.add("next_update", stamp(s.NextUpdate))
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
	case code < 0 || code > 255:
		return fmt.Sprintf("reason(%d)", code)
	}
	return ca.Reason(code).String()
}

// inspectToken reads the claims of a JSON Web Token (RFC 7519) in compact form. It verifies nothing.
func inspectToken(token string) (*object, error) {
	var members [2]map[string]json.RawMessage
	for i, part := range strings.SplitN(token, ".", 3)[:2] {
		raw, err := base64.RawURLEncoding.DecodeString(part)
		if err != nil {
			return nil, err
		}
		if err := json.Unmarshal(raw, &members[i]); err != nil {
			return nil, err
		}
	}
	if members[0]["alg"] == nil {
		return nil, errors.New("no alg in the header")
	}
	o := newObject("token")
	for i, name := range []string{"header", "claims"} {
		part := &object{}
		for _, key := range slices.Sorted(maps.Keys(members[i])) {
			part.add(key, claim(key, members[i][key]))
		}
		o.add(name, part)
	}
	return o, nil
}

// claim reads the value of a member: text as it is, a time as one, anything else as JSON.
func claim(name string, value json.RawMessage) any {
	var text string
	if json.Unmarshal(value, &text) == nil {
		return text
	}
	var seconds int64
	if slices.Contains([]string{"exp", "nbf", "iat"}, name) && json.Unmarshal(value, &seconds) == nil {
		return stamp(time.Unix(seconds, 0))
	}
	return value
}
