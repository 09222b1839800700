package ca

import (
	"context"
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"github.com/payca/payca/policy"
)

// A KeyChecker looks a public key up in what is known outside the store, such as lists of weak keys. It says where it
// found the key, "" if nowhere, and is safe for concurrent use.
type KeyChecker func(pub crypto.PublicKey) string

// checkKey says everything that the CA knows against certifying the key of a request.
func (a *Authority) checkKey(ctx context.Context, ap application, csr *policy.CSR) error {
	vs := a.outsideFaults(csr.RawSPKI, csr.PublicKey)
	known, err := a.cfg.Store.Key(ctx, sha256.Sum256(csr.RawSPKI))
	if err != nil {
		return fmt.Errorf("looking up the key: %w", err)
	}
	vs = append(vs, policy.ViolationsOf(ap.admit(known))...)
	if len(vs) > 0 {
		return vs
	}
	return nil
}

// outsideFaults says what speaks against a key that no commit can change: it is the CA's own, or is listed.
func (a *Authority) outsideFaults(spki []byte, pub crypto.PublicKey) (vs policy.Violations) {
	if owner, ok := a.ownKeys[sha256.Sum256(spki)]; ok {
		vs = append(vs, keyFault("key-own", "the key of "+owner, "a key of the requester's own"))
	}
	if list := a.cfg.WeakKeys(pub); list != "" {
		vs = append(vs, keyFault("key-weak", policy.DescribeKey(pub)+", in the list "+list+" of weak keys", "a new key made by a sound generator"))
	}
	return vs
}

func keyFault(rule, got, want string) *policy.Violation {
	return &policy.Violation{Rule: rule, Field: "csr: public key", Got: got, Want: want}
}

// admit says whether the store knows something against certifying a key for this application. The gate asks it early, and
// the store asks it again in the commit.
func (ap application) admit(known Key) error {
	var vs policy.Violations
	if b := known.Blocked; b != nil {
		vs = append(vs, keyFault("key-blocked", fmt.Sprintf("blocked by an operator since %s: %s", b.At.UTC().Format(time.RFC3339), b.Reason), "a new key"))
	}
	if known.Compromised != nil {
		vs = append(vs, keyFault("key-compromised", "a key that was reported compromised", "a new key"))
	}
	switch newest := known.Newest; {
	case newest == nil:
	case newest.Party != ap.party.ID && newest.Party == "":
		vs = append(vs, keyFault("key-own", "the key of an OCSP signer of this CA", "a key of the requester's own"))
	case newest.Party != ap.party.ID:
		vs = append(vs, keyFault("key-reused", "that of certificate "+newest.Serial.String()+" of another party", "a key of the requester's own"))
	default:
		if use := ap.otherUse(newest); use != "" {
			vs = append(vs, keyFault("key-use", "that of certificate "+newest.Serial.String()+", which is for "+use, "a key for this use alone: signing and encryption never share one"))
		}
	}
	if len(vs) > 0 {
		return vs
	}
	return nil
}

// otherUse names the use of the record's certificate if it is not that of the application.
func (ap application) otherUse(rec *Record) string {
	if rec.Profile == ap.profile.Name() {
		return ""
	}
	agrees := CertificateKind(rec.DER) == KindEncryption
	if agrees == (ap.profile.Config().KeyUsage == "keyAgreement") {
		return ""
	}
	if agrees {
		return "encryption"
	}
	return "signing"
}

// ownKeysOf is the keys of the CA itself, by the SHA-256 of their SubjectPublicKeyInfo.
func ownKeysOf(cfg Config) (map[[32]byte]string, error) {
	own := map[[32]byte]string{sha256.Sum256(cfg.Root.RawSubjectPublicKeyInfo): "the root"}
	for _, in := range cfg.Issuers {
		own[sha256.Sum256(in.Certificate.RawSubjectPublicKeyInfo)] = "the " + in.Name + " CA"
	}
	var errs []error
	for owner, key := range cfg.OwnKeys {
		spki, err := x509.MarshalPKIXPublicKey(key)
		if err != nil {
			errs = append(errs, fmt.Errorf("own key of %s: %w", owner, err))
			continue
		}
		own[sha256.Sum256(spki)] = owner
	}
	return own, errors.Join(errs...)
}
