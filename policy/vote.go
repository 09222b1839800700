package policy

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/big"
	"strings"
	"time"
)

// A VoteStatement is what an approver signs about a request: the approval object of a bank, and the vote of an operator.
type VoteStatement struct {
	Network  string    `json:"network"`  // of the CA
	Digest   string    `json:"digest"`   // SHA-256 of the request, hexadecimal
	Approve  bool      `json:"approve"`  // false rejects
	Approver string    `json:"approver"` // the identity's URI
	Reason   string    `json:"reason,omitempty"`
	At       time.Time `json:"at"` // UTC, whole seconds
}

// maxVote bounds the text of a signed vote.
const maxVote = 8 << 10

// voteType keeps signatures of votes apart from all other signatures of the same key.
const voteType = "payca-vote+jws"

type voteHeader struct {
	Algorithm  string `json:"alg"`
	Type       string `json:"typ"`
	Thumbprint string `json:"x5t#S256"` // of the certificate
}

// SignVote signs a statement with the key of the certificate: a JWS in the compact form (RFC 7515) with ES256, ES384, EdDSA or
// PS256, as the key is, and the thumbprint of the certificate (x5t#S256).
func SignVote(s VoteStatement, cert *x509.Certificate, key crypto.Signer) (string, error) {
	algorithm, hash := voteAlgorithm(cert.PublicKey)
	if algorithm == "" {
		return "", fmt.Errorf("signing a vote: a key of %s, want %s", DescribeKey(cert.PublicKey), voteKeys)
	}
	sum := sha256.Sum256(cert.Raw)
	header, err := json.Marshal(voteHeader{algorithm, voteType, voteBase64.EncodeToString(sum[:])})
	if err != nil {
		return "", err
	}
	payload, err := json.Marshal(s)
	if err != nil {
		return "", err
	}
	text := voteBase64.EncodeToString(header) + "." + voteBase64.EncodeToString(payload)
	var opts crypto.SignerOpts = hash
	if algorithm == "PS256" {
		opts = &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: hash}
	}
	signature, err := crypto.SignMessage(key, rand.Reader, []byte(text), opts)
	if err == nil {
		signature, err = rawVote(cert.PublicKey, signature)
	}
	if err != nil {
		return "", fmt.Errorf("signing a vote: %w", err)
	}
	return text + "." + voteBase64.EncodeToString(signature), nil
}

// VoteSigner returns the thumbprint of the certificate that a signed vote names. Nothing of it is believed yet.
func VoteSigner(object string) ([32]byte, error) {
	parts := strings.Split(object, ".")
	if len(object) > maxVote || len(parts) != 3 {
		return [32]byte{}, voteFault("vote-form", fmt.Sprintf("%d octets in %d parts", len(object), len(parts)), "a JWS in the compact form")
	}
	var header voteHeader
	if err := decodeVote(parts[0], &header); err != nil {
		return [32]byte{}, err
	}
	thumbprint, err := voteBase64.DecodeString(header.Thumbprint)
	if header.Type != voteType || err != nil || len(thumbprint) != 32 {
		return [32]byte{}, voteFault("vote-form", fmt.Sprintf("typ %.32q, x5t#S256 %.64q", header.Type, header.Thumbprint), fmt.Sprintf("typ %q and a SHA-256", voteType))
	}
	return [32]byte(thumbprint), nil
}

// VerifyVote returns the statement of a signed vote, if the certificate is the one that it names and its key signed it.
// What the certificate is worth is for the caller to know. The error is a *[Violation].
func VerifyVote(object string, cert *x509.Certificate) (VoteStatement, error) {
	thumbprint, err := VoteSigner(object)
	if err != nil {
		return VoteStatement{}, err
	}
	parts := strings.Split(object, ".")
	var header voteHeader
	if err := decodeVote(parts[0], &header); err != nil {
		return VoteStatement{}, err
	}
	algorithm, hash := voteAlgorithm(cert.PublicKey)
	if sha256.Sum256(cert.Raw) != thumbprint || header.Algorithm != algorithm {
		return VoteStatement{}, voteFault("vote-signature", fmt.Sprintf("alg %.16q by another certificate", header.Algorithm), fmt.Sprintf("alg %q by the certificate of the approver", algorithm))
	}
	signature, err := voteBase64.DecodeString(parts[2])
	if err != nil || !verifyVote(cert.PublicKey, hash, []byte(parts[0]+"."+parts[1]), signature) {
		return VoteStatement{}, voteFault("vote-signature", "not of these bytes", "the signature of the approver's key")
	}
	var s VoteStatement
	return s, decodeVote(parts[1], &s)
}

func voteFault(rule, got, want string) *Violation {
	return &Violation{Rule: rule, Field: "vote", Got: got, Want: want}
}

var voteBase64 = base64.RawURLEncoding.Strict()

// decodeVote reads a part of a vote in the one form that SignVote writes, so that no two texts say the same.
func decodeVote[T any](part string, v *T) error {
	raw, err := voteBase64.DecodeString(part)
	if err == nil {
		decoder := json.NewDecoder(bytes.NewReader(raw))
		decoder.DisallowUnknownFields()
		err = decoder.Decode(v)
	}
	if err == nil {
		again, failed := json.Marshal(v)
		if err = failed; err == nil && !bytes.Equal(again, raw) {
			err = fmt.Errorf("%d octets that say what %d do", len(raw), len(again))
		}
	}
	if err != nil {
		return voteFault("vote-form", fmt.Sprintf("%.200q", err), "base64url of JSON, its members once and in order, without space")
	}
	return nil
}

// voteKeys are the kinds of key that sign votes.
const voteKeys = "P-256, P-384, Ed25519 or RSA"

// voteAlgorithm is the one algorithm for a key (RFC 7518 section 3.1, RFC 8037), "" if there is none.
func voteAlgorithm(key crypto.PublicKey) (string, crypto.Hash) {
	switch key := key.(type) {
	case *ecdsa.PublicKey:
		switch key.Curve {
		case elliptic.P256():
			return "ES256", crypto.SHA256
		case elliptic.P384():
			return "ES384", crypto.SHA384
		}
	case ed25519.PublicKey:
		return "EdDSA", 0
	case *rsa.PublicKey:
		return "PS256", crypto.SHA256
	}
	return "", 0
}

type ecdsaSignature struct{ R, S *big.Int }

// rawVote is the signature as JWS has it: for ECDSA r and s side by side (RFC 7518 section 3.4).
func rawVote(key crypto.PublicKey, signature []byte) ([]byte, error) {
	public, ok := key.(*ecdsa.PublicKey)
	if !ok {
		return signature, nil
	}
	var rs ecdsaSignature
	if rest, err := asn1.Unmarshal(signature, &rs); err != nil || len(rest) > 0 {
		return nil, fmt.Errorf("the key returned no ECDSA signature: %w", err)
	}
	size := (public.Curve.Params().BitSize + 7) / 8
	raw := make([]byte, 2*size)
	rs.R.FillBytes(raw[:size])
	rs.S.FillBytes(raw[size:])
	return raw, nil
}

func verifyVote(key crypto.PublicKey, hash crypto.Hash, message, signature []byte) bool {
	digest := message
	if hash != 0 {
		h := hash.New()
		h.Write(message)
		digest = h.Sum(nil)
	}
	switch key := key.(type) {
	case *ecdsa.PublicKey:
		size := (key.Curve.Params().BitSize + 7) / 8
		if len(signature) != 2*size {
			return false
		}
		return ecdsa.Verify(key, digest, new(big.Int).SetBytes(signature[:size]), new(big.Int).SetBytes(signature[size:]))
	case ed25519.PublicKey:
		return ed25519.Verify(key, digest, signature)
	case *rsa.PublicKey:
		return rsa.VerifyPSS(key, hash, digest, signature, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash}) == nil
	}
	return false
}
