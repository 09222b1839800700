package payment

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/payca/payca/enroll/strictjson"
)

// A Sealed is an object that only the holder of one encryption key can read: a JWE in
// compact serialization (RFC 7516 section 3.1).
type Sealed string

// Digest returns the SHA-256 of the sealed object in base64url.
func (s Sealed) Digest() string { return Object(s).Digest() }

const (
	algECDH   = "ECDH-ES" // RFC 7518 section 4.6, direct key agreement
	encGCM    = "A256GCM" // RFC 7518 section 5.3
	gcmNonce  = 12
	gcmTag    = 16
	coordSize = 32 // octets of a P-256 coordinate
)

// sealHeader is the protected header, its members in this order.
type sealHeader struct {
	Alg string   `json:"alg"`
	Enc string   `json:"enc"`
	EPK ephemera `json:"epk"`
	KID string   `json:"kid"`
	Typ string   `json:"typ"`
}

// ephemera is the sender's ephemeral public key as a JWK.
type ephemera struct {
	Crv string `json:"crv"`
	Kty string `json:"kty"`
	X   string `json:"x"`
	Y   string `json:"y"`
}

// Seal encrypts plaintext to the P-256 key of the recipient's encryption certificate, with a fresh ephemeral key. Whether
// the recipient may be sealed to is for the caller to know: role, chain, use and status.
func Seal(kind Kind, to *x509.Certificate, plaintext []byte) (Sealed, error) {
	ecKey, ok := to.PublicKey.(*ecdsa.PublicKey)
	if !ok {
		return "", Refuse(BadRecipient, "key of the recipient", to.PublicKeyAlgorithm.String(), "ECDSA on P-256")
	}
	public, err := ecKey.ECDH()
	if err != nil || public.Curve() != ecdh.P256() {
		return "", Refuse(BadRecipient, "key of the recipient", "a key on another curve", "P-256")
	}
	ephemeral, err := ecdh.P256().GenerateKey(rand.Reader)
	if err != nil {
		return "", fmt.Errorf("sealing %s: %w", kind, err)
	}
	return sealWith(ephemeral, public, sealHeader{KID: Thumbprint(to.Raw), Typ: sealedTyp(kind)}, plaintext)
}

func sealWith(ephemeral *ecdh.PrivateKey, to *ecdh.PublicKey, h sealHeader, plaintext []byte) (Sealed, error) {
	point := ephemeral.PublicKey().Bytes() // 4, x, y
	h.Alg, h.Enc = algECDH, encGCM
	h.EPK = ephemera{Crv: "P-256", Kty: "EC", X: b64.EncodeToString(point[1 : 1+coordSize]), Y: b64.EncodeToString(point[1+coordSize:])}
	header, err := json.Marshal(h)
	if err != nil {
		return "", fmt.Errorf("sealing: %w", err)
	}
	aead, err := agree(ephemeral, to)
	if err != nil {
		return "", fmt.Errorf("sealing: %w", err)
	}
	nonce := make([]byte, gcmNonce)
	rand.Read(nonce) // never fails
	protected := b64.EncodeToString(header)
	sealed := aead.Seal(nil, nonce, plaintext, []byte(protected))
	text, tag := sealed[:len(plaintext)], sealed[len(plaintext):]
	return Sealed(strings.Join([]string{
		protected, "", b64.EncodeToString(nonce), b64.EncodeToString(text), b64.EncodeToString(tag),
	}, ".")), nil
}

func sealedTyp(kind Kind) string { return "pay-" + string(kind) + "+jwe" }

// agree derives the content encryption key of both ends.
func agree(own *ecdh.PrivateKey, other *ecdh.PublicKey) (cipher.AEAD, error) {
	z, err := own.ECDH(other)
	if err != nil {
		return nil, err
	}
	key := concatKDF(z, encGCM, nil, nil)
	block, err := aes.NewCipher(key[:])
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

// concatKDF derives 256 bits (RFC 7518 section 4.6.2, NIST SP 800-56A section 5.8.1).
func concatKDF(z []byte, algorithm string, apu, apv []byte) [32]byte {
	field := func(b, data []byte) []byte {
		return append(binary.BigEndian.AppendUint32(b, uint32(len(data))), data...)
	}
	b := append([]byte{0, 0, 0, 1}, z...)
	b = field(b, []byte(algorithm))
	b = field(b, apu)
	b = field(b, apv)
	b = binary.BigEndian.AppendUint32(b, 256)
	return sha256.Sum256(b)
}

// SealedTo returns the thumbprint of the certificate to which an object of the kind is sealed.
func SealedTo(kind Kind, s Sealed) (string, error) {
	h, _, err := sealedHeader(kind, s)
	return h.KID, err
}

// sealedHeader reads the protected header strictly.
func sealedHeader(kind Kind, s Sealed) (h sealHeader, parts []string, err error) {
	refuse := func(field, got, want string) (sealHeader, []string, error) {
		return sealHeader{}, nil, Refuse(BadJWE, field, got, want)
	}
	if len(s) > MaxObject {
		return refuse("sealed object", strconv.Itoa(len(s))+" bytes", "at most "+strconv.Itoa(MaxObject))
	}
	if n := strings.Count(string(s), "."); n != 4 {
		return refuse("sealed object", strconv.Itoa(n+1)+" parts", "5, as a compact JWE has")
	}
	parts = strings.Split(string(s), ".")
	raw, err := b64.DecodeString(parts[0])
	if err != nil || len(raw) > 1024 {
		return refuse("header", quote(parts[0]), "base64url of at most 1024 bytes")
	}
	if err := strictjson.Unmarshal(raw, &h); err != nil {
		return sealHeader{}, nil, &Refusal{Code: BadJWE, Field: "header", Got: "malformed", Want: "the members alg, enc, epk, kid and typ", Err: err}
	}
	switch {
	case h.Alg != algECDH:
		return refuse("alg", quote(h.Alg), algECDH)
	case h.Enc != encGCM:
		return refuse("enc", quote(h.Enc), encGCM)
	case h.EPK.Kty != "EC" || h.EPK.Crv != "P-256":
		return refuse("epk", quote(h.EPK.Kty+" "+h.EPK.Crv), "a key on P-256")
	case h.Typ != sealedTyp(kind):
		return refuse("typ", quote(h.Typ), sealedTyp(kind))
	case parts[1] != "":
		return refuse("encrypted key", quote(parts[1]), "nothing, as ECDH-ES has")
	}
	return h, parts, nil
}

// Unseal decrypts an object with the key for the certificate to which it is sealed. The error is a *[Refusal]; it
// does not say which part was wrong.
func Unseal(kind Kind, s Sealed, key *ecdh.PrivateKey) ([]byte, error) {
	h, parts, err := sealedHeader(kind, s)
	if err != nil {
		return nil, err
	}
	if key == nil || key.Curve() != ecdh.P256() {
		return nil, Refuse(BadJWE, "key", "none on P-256", "the key of the certificate "+h.KID)
	}
	opened := Refuse(BadJWE, "sealed "+string(kind), "not readable with this key", "what was sealed to the certificate "+h.KID+", unchanged")
	point := make([]byte, 1, 1+2*coordSize)
	point[0] = 4
	for _, coord := range []string{h.EPK.X, h.EPK.Y} {
		raw, err := b64.DecodeString(coord)
		if err != nil || len(raw) != coordSize {
			return nil, opened
		}
		point = append(point, raw...)
	}
	ephemeral, err := ecdh.P256().NewPublicKey(point)
	if err != nil {
		return nil, opened
	}
	aead, err := agree(key, ephemeral)
	if err != nil {
		return nil, opened
	}
	nonce, err1 := b64.DecodeString(parts[2])
	text, err2 := b64.DecodeString(parts[3])
	tag, err3 := b64.DecodeString(parts[4])
	if err1 != nil || err2 != nil || err3 != nil || len(nonce) != gcmNonce || len(tag) != gcmTag {
		return nil, opened
	}
	plaintext, err := aead.Open(nil, nonce, append(text, tag...), []byte(parts[0]))
	if err != nil {
		return nil, opened
	}
	return plaintext, nil
}
