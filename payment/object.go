package payment

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"

	"github.com/payca/payca/enroll/strictjson"
	"github.com/payca/payca/payment/money"
	"github.com/payca/payca/policy"
)

// MaxObject is how many bytes an object may have.
const MaxObject = 64 << 10

// MaxSkew is how far in the future an object may have been issued.
const MaxSkew = time.Minute

// version is of the objects; it is the member "v" of each.
const version = 1

// b64 is base64url without padding, in its one form.
var b64 = base64.RawURLEncoding.Strict()

// An Object is a signed object as it travels: a JWS in compact serialization (RFC 7515
// section 3.1). It is compared, hashed, kept and forwarded as these bytes.
type Object string

// Digest returns the SHA-256 of the object in base64url, by which others refer to it.
func (o Object) Digest() string {
	sum := sha256.Sum256([]byte(o))
	return b64.EncodeToString(sum[:])
}

// A Head holds the members that every object has.
type Head struct {
	V        int          `json:"v"`                // 1
	Kind     Kind         `json:"kind"`             // as the header says
	ID       string       `json:"id"`               // of the payment: a UUID of version 7
	Issuer   string       `json:"iss"`              // identity URI of the signer
	Audience []string     `json:"aud"`              // identity URIs of the intended readers
	IssuedAt int64        `json:"iat"`              // seconds since 1970
	Expires  int64        `json:"exp"`              // seconds since 1970
	Ref      string       `json:"ref,omitempty"`    // digest of the object that this one answers
	Amount   *money.Money `json:"amount,omitempty"` // what is to be paid, held or moved
}

// Sum returns the amount, zero if there is none.
func (h *Head) Sum() money.Money {
	if h.Amount == nil {
		return money.Money{}
	}
	return *h.Amount
}

func (h *Head) head() *Head { return h }

// A Body is one of the message types of this package, as a pointer.
type Body interface {
	head() *Head
	kind() Kind
	check() error // of the members of its own
}

// IDOf returns the payment that a body is about, and KindName its kind.
func IDOf(body Body) string { return body.head().ID }

// KindName returns the kind of a body.
func KindName(body Body) Kind { return body.kind() }

// FirstReader returns the first of the readers for whom a body is meant, "" if there is none.
func FirstReader(body Body) string {
	if audience := body.head().Audience; len(audience) > 0 {
		return audience[0]
	}
	return ""
}

// Stamp writes the times of a body: issued now, expired after life. A time of expiry that is set already stays.
func Stamp(body Body, now time.Time, life time.Duration) {
	h := body.head()
	h.IssuedAt = now.Unix()
	if h.Expires == 0 {
		h.Expires = now.Add(life).Unix()
	}
}

// A Signer signs objects in the name of one party.
type Signer struct {
	URI        string        // the party's identity
	Thumbprint string        // of its signing certificate, see [Thumbprint]
	Key        crypto.Signer // on P-256
}

// Thumbprint returns the SHA-256 of a certificate in base64url (RFC 7515 section 4.1.8, x5t#S256).
func Thumbprint(der []byte) string {
	sum := sha256.Sum256(der)
	return b64.EncodeToString(sum[:])
}

// Sign completes the head of the body with version, kind and issuer, checks it as [Open] will, and
// signs it.
func Sign(s Signer, body Body) (Object, error) {
	h := body.head()
	h.V, h.Kind, h.Issuer = version, body.kind(), s.URI
	if err := checkBody(body); err != nil {
		return "", err
	}
	payload, err := json.Marshal(body)
	if err != nil {
		return "", fmt.Errorf("signing %s: %w", h.Kind, err)
	}
	header := headerOf(s.Thumbprint, h.Kind)
	text := make([]byte, 0, (len(header)+len(payload)+64)*4/3+8)
	text = b64.AppendEncode(text, []byte(header))
	text = append(text, '.')
	text = b64.AppendEncode(text, payload)
	sum := sha256.Sum256(text)
	// The nonce is drawn: two captures of one second must be two objects, of which one is refused, and not one.
	der, err := s.Key.Sign(rand.Reader, sum[:], crypto.SHA256)
	if err != nil {
		return "", fmt.Errorf("signing %s: %w", h.Kind, err)
	}
	signature, err := rawSignature(der)
	if err != nil {
		return "", fmt.Errorf("signing %s: %w", h.Kind, err)
	}
	text = append(text, '.')
	return Object(b64.AppendEncode(text, signature[:])), nil
}

// headerOf is the one header that an object may have, to the byte.
func headerOf(kid string, kind Kind) string {
	return `{"alg":"ES256","kid":"` + kid + `","typ":"` + kind.typ() + `"}`
}

// rawSignature turns an ECDSA-Sig-Value into the form of JWS (RFC 7518 section 3.4).
func rawSignature(der []byte) (raw [64]byte, err error) {
	var r, s big.Int
	input := cryptobyte.String(der)
	var inner cryptobyte.String
	if !input.ReadASN1(&inner, asn1.SEQUENCE) || !input.Empty() ||
		!inner.ReadASN1Integer(&r) || !inner.ReadASN1Integer(&s) || !inner.Empty() || r.BitLen() > 256 || s.BitLen() > 256 {
		return raw, errors.New("the key made a signature that is not ECDSA on P-256, want a P-256 key")
	}
	r.FillBytes(raw[:32])
	s.FillBytes(raw[32:])
	return raw, nil
}

// A Verifier says who signed an object, and whether that signer is to be believed now.
type Verifier struct {
	// Resolve finds the signer by the thumbprint of its certificate: chain, validity and status are its to check.
	// Its errors are returned as they are; a *[Refusal] says what was wrong with the certificate.
	Resolve func(ctx context.Context, thumbprint string) (*policy.Peer, error)
	Self    string           // identity URI of the reader, who must be in the audience; "" to read what is for others
	Now     func() time.Time // nil for time.Now
}

// Open reads an object of the kind of body into it: form, signer and signature first, then the
// payload. It returns the signer. The error is a *[Refusal], or what kept the signer from being found.
func (v Verifier) Open(ctx context.Context, object Object, body Body) (*policy.Peer, error) {
	parts, err := split(object)
	if err != nil {
		return nil, err
	}
	if parts.kind != body.kind() {
		return nil, Refuse(BadJWS, "typ", quote(parts.kind.typ()), quote(body.kind().typ()))
	}
	peer, err := v.Resolve(ctx, parts.kid)
	if err != nil {
		return nil, err
	}
	if err := verify(parts, peer); err != nil {
		return nil, err
	}
	if err := decode(parts.payload, body); err != nil {
		return nil, err
	}
	return peer, v.accept(body, peer)
}

// accept checks the head of a body whose signature is good.
func (v Verifier) accept(body Body, peer *policy.Peer) error {
	h := body.head()
	if uri := peer.Identity.String(); h.Issuer != uri {
		return Refuse(BadSignature, string(h.Kind)+".iss", quote(h.Issuer), "the signer, "+uri)
	}
	if roles := h.Kind.Signers(); !slices.Contains(roles, peer.Identity.Role) {
		return Refuse(WrongRole, "signer of "+string(h.Kind), string(peer.Identity.Role), roleList(roles))
	}
	now := time.Now()
	if v.Now != nil {
		now = v.Now()
	}
	if issued := time.Unix(h.IssuedAt, 0); issued.After(now.Add(MaxSkew)) {
		return Refuse(ClockSkew, string(h.Kind)+".iat", issued.UTC().Format(time.RFC3339), "at most a minute after "+now.UTC().Format(time.RFC3339))
	}
	if expires := time.Unix(h.Expires, 0); !now.Before(expires) {
		return Refuse(Expired, string(h.Kind)+".exp", expires.UTC().Format(time.RFC3339), "later than "+now.UTC().Format(time.RFC3339))
	}
	if v.Self != "" && !slices.Contains(h.Audience, v.Self) {
		return Refuse(NotAddressedHere, string(h.Kind)+".aud", quote(strings.Join(h.Audience, " ")), v.Self)
	}
	return nil
}

// parsed is the form of an object, before anything in it is believed.
type parsed struct {
	kind      Kind
	kid       string
	signed    string // header and payload as they were signed
	payload   []byte
	signature []byte
}

// split reads the three parts. The header must be, to the byte, the one that Sign writes, which
// leaves no room for other algorithms, keys or critical parameters.
func split(object Object) (parsed, error) {
	refuse := func(field, got, want string) (parsed, error) { return parsed{}, Refuse(BadJWS, field, got, want) }
	if len(object) > MaxObject {
		return refuse("object", strconv.Itoa(len(object))+" bytes", "at most "+strconv.Itoa(MaxObject))
	}
	first := strings.IndexByte(string(object), '.')
	last := strings.LastIndexByte(string(object), '.')
	if first < 0 || first == last || strings.IndexByte(string(object[first+1:last]), '.') >= 0 {
		return refuse("object", strconv.Itoa(strings.Count(string(object), ".")+1)+" parts", "3, as a compact JWS has")
	}
	header, err := b64.DecodeString(string(object[:first]))
	if err != nil || len(header) > 256 {
		return refuse("header", quote(string(object[:min(first, 100)])), "base64url of at most 256 bytes")
	}
	var p parsed
	if p.kid, p.kind = readHeader(header); p.kind == "" {
		return refuse("header", quote(string(header)), headerOf("THUMBPRINT", "KIND")+" with a known KIND")
	}
	if p.payload, err = b64.DecodeString(string(object[first+1 : last])); err != nil {
		return refuse("payload", "malformed base64url", "base64url without padding")
	}
	if p.signature, err = b64.DecodeString(string(object[last+1:])); err != nil || len(p.signature) != 64 {
		return refuse("signature", quote(string(object[last+1:])), "64 octets of base64url, as ES256 has")
	}
	p.signed = string(object[:last])
	return p, nil
}

// readHeader takes thumbprint and kind from a header; the kind is "" if the header is not exactly ours.
func readHeader(header []byte) (kid string, kind Kind) {
	const before, between = `{"alg":"ES256","kid":"`, `","typ":"`
	const size = 43 // base64url of SHA-256
	rest, ok := bytes.CutPrefix(header, []byte(before))
	if !ok || len(rest) < size+len(between) {
		return "", ""
	}
	kid = string(rest[:size])
	typ, ok := bytes.CutPrefix(rest[size:], []byte(between))
	if sum, err := b64.DecodeString(kid); err != nil || len(sum) != sha256.Size || !ok {
		return "", ""
	}
	kind = kindOf(strings.TrimSuffix(string(typ), `"}`))
	if kind == "" || string(header) != headerOf(kid, kind) {
		return "", ""
	}
	return kid, kind
}

// KindOf returns the kind and the signer's thumbprint that the header of an object claims,
// before anything is verified; the kind is "" if the object is malformed.
func KindOf(object Object) (kind Kind, thumbprint string) {
	p, err := split(object)
	if err != nil {
		return "", ""
	}
	return p.kind, p.kid
}

// Read reads an object of the kind of body into it and checks its form, but neither signature nor signer: for one that was
// opened before and kept.
func Read(object Object, body Body) error {
	p, err := split(object)
	if err != nil {
		return err
	}
	if p.kind != body.kind() {
		return Refuse(BadJWS, "typ", quote(p.kind.typ()), quote(body.kind().typ()))
	}
	return decode(p.payload, body)
}

// Payload returns the payload of an object as it claims to be, before anything is verified; nil if the object is
// malformed.
func Payload(object Object) []byte {
	p, err := split(object)
	if err != nil {
		return nil
	}
	return p.payload
}

// verify checks the signature with the key of a signer who may sign.
func verify(p parsed, peer *policy.Peer) error {
	key, ok := peer.Leaf.PublicKey.(*ecdsa.PublicKey)
	if !ok || key.Curve != elliptic.P256() {
		return Refuse(BadSignature, "key of "+peer.Identity.String(), peer.Leaf.PublicKeyAlgorithm.String(), "ECDSA on P-256")
	}
	sum := sha256.Sum256([]byte(p.signed))
	r, s := new(big.Int).SetBytes(p.signature[:32]), new(big.Int).SetBytes(p.signature[32:])
	if !ecdsa.Verify(key, sum[:], r, s) {
		return Refuse(BadSignature, "signature of "+string(p.kind), "not made by "+peer.Identity.String()+" over these bytes", "the signature of the certificate that kid names")
	}
	return nil
}

// decode reads a payload and checks its form.
func decode(payload []byte, body Body) error {
	if err := strictjson.Unmarshal(payload, body); err != nil {
		return BadJSONError(string(body.kind()), err)
	}
	return checkBody(body)
}

// BadJSONError turns an error of package strictjson into a *[Refusal].
func BadJSONError(what string, err error) error {
	if e, ok := errors.AsType[*strictjson.Error](err); ok {
		return Refuse(BadJSON, what+"."+e.Field, e.Got, e.Want)
	}
	return &Refusal{Code: BadJSON, Field: what, Got: "malformed", Want: "JSON (RFC 8259)", Err: err}
}

func roleList(roles []policy.Role) string {
	names := make([]string, len(roles))
	for i, role := range roles {
		names[i] = string(role)
	}
	return strings.Join(names, " or ")
}
