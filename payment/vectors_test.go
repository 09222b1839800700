package payment_test

import (
	"context"
	"crypto/ecdh"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"flag"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/payca/payca/ca/catest"
	"github.com/payca/payca/payment"
	"github.com/payca/payca/payment/money"
	"github.com/payca/payca/policy"
)

// update makes the vectors anew: go test ./payment -run Vectors -update.
var update = flag.Bool("update", false, "make testdata/vectors/payment.json anew")

// A vectorFile is testdata/vectors/payment.json; docs/vectors.md says what is in it.
type vectorFile struct {
	Version      int                `json:"version"`
	At           time.Time          `json:"at"` // the time of verification
	Parties      []vectorParty      `json:"parties"`
	Dual         vectorDual         `json:"dual"`
	Objects      []vectorObject     `json:"objects"`
	Sealed       []vectorSealed     `json:"sealed"`
	Confirmation vectorConfirmation `json:"confirmation"`
}

type vectorParty struct {
	URI         string      `json:"uri"`
	Role        policy.Role `json:"role"`
	Party       string      `json:"party"`
	Certificate string      `json:"certificate"` // PEM
	Key         string      `json:"key"`         // PKCS#8, PEM: for tests alone
	Thumbprint  string      `json:"thumbprint"`
}

type vectorDual struct {
	Offer       string `json:"offer"`
	Instruction string `json:"instruction"` // its JSON
	OIH         string `json:"oih"`
	PIH         string `json:"pih"`
	Dual        string `json:"dual"`
}

type vectorObject struct {
	Name   string       `json:"name"`
	Kind   payment.Kind `json:"kind"`
	Reader string       `json:"reader"`
	Object string       `json:"object"`
	Digest string       `json:"digest"`
	Code   payment.Code `json:"code"` // "" for a good one
}

type vectorSealed struct {
	Name      string       `json:"name"`
	Kind      payment.Kind `json:"kind"`
	Recipient string       `json:"recipient"` // thumbprint
	Sealed    string       `json:"sealed"`
	Plaintext string       `json:"plaintext,omitempty"`
	Code      payment.Code `json:"code"`
}

type vectorConfirmation struct {
	Secret   string      `json:"secret"` // base64url
	ID       string      `json:"id"`
	Amount   money.Money `json:"amount"`
	Merchant string      `json:"merchant"`
	Nonce    string      `json:"nonce"`
	MAC      string      `json:"mac"`
	Digits   string      `json:"digits"`
}

var vectorPath = filepath.Join("..", "testdata", "vectors", "payment.json")

func TestVectors(t *testing.T) {
	if *update {
		raw, err := json.MarshalIndent(newVectors(t), "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(vectorPath, append(raw, '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	raw, err := os.ReadFile(vectorPath)
	if err != nil {
		t.Fatal(err)
	}
	var f vectorFile
	if err := json.Unmarshal(raw, &f); err != nil {
		t.Fatal(err)
	}
	peers, keys := f.parties(t)
	broken := 0
	for _, v := range f.Objects {
		verifier := payment.Verifier{Self: v.Reader, Now: func() time.Time { return f.At }, Resolve: func(_ context.Context, thumbprint string) (*policy.Peer, error) {
			if p := peers[thumbprint]; p != nil {
				return p, nil
			}
			return nil, payment.Refuse(payment.UnknownSigner, "kid", thumbprint, "one of the file")
		}}
		_, err := verifier.Open(t.Context(), payment.Object(v.Object), empty(t, v.Kind))
		if codeOf(err) != v.Code || (err == nil) != (v.Code == "") || payment.Object(v.Object).Digest() != v.Digest {
			t.Errorf("%s: got %v, want %q", v.Name, err, v.Code)
		}
		if v.Code != "" {
			broken++
		}
	}
	for _, v := range f.Sealed {
		plain, err := payment.Unseal(v.Kind, payment.Sealed(v.Sealed), keys[v.Recipient])
		if codeOf(err) != v.Code || (err == nil) != (v.Code == "") || string(plain) != v.Plaintext {
			t.Errorf("%s: got %q, %v; want %q, %q", v.Name, plain, err, v.Plaintext, v.Code)
		}
		if v.Code != "" {
			broken++
		}
	}
	if broken < 25 || len(f.Objects)-broken < 10 {
		t.Errorf("%d broken vectors of %d, want 25 or more", broken, len(f.Objects)+len(f.Sealed))
	}
	d := f.Dual
	if payment.OIH(payment.Object(d.Offer)) != d.OIH || payment.PIH([]byte(d.Instruction)) != d.PIH {
		t.Error("the digests of the dual signature are not those of offer and instruction")
	}
	c := f.Confirmation
	secret, err := b64.DecodeString(c.Secret)
	if mac := payment.ConfirmationMAC(secret, c.ID, c.Amount, c.Merchant, c.Nonce); err != nil || payment.EncodeMAC(mac) != c.MAC || payment.Digits(mac) != c.Digits {
		t.Error("the confirmation code is another")
	}
}

// parties reads certificates and keys.
func (f *vectorFile) parties(t *testing.T) (map[string]*policy.Peer, map[string]*ecdh.PrivateKey) {
	t.Helper()
	peers, keys := map[string]*policy.Peer{}, map[string]*ecdh.PrivateKey{}
	for _, p := range f.Parties {
		block, _ := pem.Decode([]byte(p.Certificate))
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		block, _ = pem.Decode([]byte(p.Key))
		key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		if payment.Thumbprint(cert.Raw) != p.Thumbprint {
			t.Errorf("%s: thumbprint %s, want %s", p.URI, payment.Thumbprint(cert.Raw), p.Thumbprint)
		}
		peers[p.Thumbprint] = &policy.Peer{Identity: policy.Identity{Network: network, Role: p.Role, Party: p.Party}, Leaf: cert}
		if private, ok := key.(interface {
			ECDH() (*ecdh.PrivateKey, error)
		}); ok {
			if keys[p.Thumbprint], err = private.ECDH(); err != nil {
				t.Fatal(err)
			}
		}
	}
	return peers, keys
}

func newVectors(t *testing.T) vectorFile {
	t.Helper()
	c := newCast(t)
	f := vectorFile{Version: 1, At: noon}
	for _, p := range c.all() {
		der, err := x509.MarshalPKCS8PrivateKey(p.key)
		if err != nil {
			t.Fatal(err)
		}
		f.Parties = append(f.Parties, vectorParty{
			URI: p.uri(), Role: p.id.Role, Party: p.id.Party, Thumbprint: p.thumbprint(),
			Certificate: string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: p.cert.Raw})),
			Key:         string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})),
		})
	}
	specimens := c.specimens()
	for _, kind := range slices.Sorted(maps.Keys(specimens)) {
		s := specimens[kind]
		f.add(string(kind), kind, s.reader, sign(t, s.signer, s.body), "")
	}
	f.addBroken(t, c)
	f.addDual(t, c)
	f.addSealed(t, c)
	secret := make([]byte, 32)
	for i := range secret {
		secret[i] = byte(i)
	}
	mac := payment.ConfirmationMAC(secret, paymentID, *amount(1_234_500), c.merchant.uri(), nonce)
	f.Confirmation = vectorConfirmation{
		Secret: b64.EncodeToString(secret), ID: paymentID, Amount: *amount(1_234_500), Merchant: c.merchant.uri(), Nonce: nonce, MAC: payment.EncodeMAC(mac), Digits: payment.Digits(mac),
	}
	return f
}

func (f *vectorFile) add(name string, kind payment.Kind, reader *party, object payment.Object, code payment.Code) {
	f.Objects = append(f.Objects, vectorObject{Name: name, Kind: kind, Reader: reader.uri(), Object: string(object), Digest: object.Digest(), Code: code})
}

// addBroken adds requests of which one thing is wrong.
func (f *vectorFile) addBroken(t *testing.T, c *cast) {
	t.Helper()
	m, g := c.merchant, c.gateway
	good := sign(t, m, c.specimens()[payment.KindRequest].body)
	payload, h := string(payment.Payload(good)), header(m, payment.KindRequest)
	add := func(name string, object payment.Object, code payment.Code) {
		f.add(name, payment.KindRequest, g, object, code)
	}
	head := func(name, old, new string, code payment.Code) {
		add(name, forge(t, m, strings.Replace(h, old, new, 1), []byte(payload)), code)
	}
	body := func(name, old, new string, code payment.Code) {
		if !strings.Contains(payload, old) {
			t.Fatalf("%s: %q is not in %s", name, old, payload)
		}
		add(name, forge(t, m, h, []byte(strings.Replace(payload, old, new, 1))), code)
	}
	head("alg none", "ES256", "none", payment.BadJWS)
	head("alg HS256", "ES256", "HS256", payment.BadJWS)
	head("an embedded key", `"typ"`, `"jwk":{},"typ"`, payment.BadJWS)
	head("critical parameters", `"typ"`, `"crit":["b64"],"typ"`, payment.BadJWS)
	head("white space in the header", `{"alg"`, `{ "alg"`, payment.BadJWS)
	head("another typ", "pay-request", "pay-offer", payment.BadJWS)
	head("the thumbprint of another party", m.thumbprint(), g.thumbprint(), payment.BadSignature)
	head("an unknown thumbprint", m.thumbprint(), digest("nobody"), payment.UnknownSigner)
	add("another payload", payment.Object(part(string(good), 1, func(string) string { return b64.EncodeToString([]byte("{}")) })), payment.BadSignature)
	add("a signature of zeros", payment.Object(part(string(good), 2, func(string) string { return b64.EncodeToString(make([]byte, 64)) })), payment.BadSignature)
	add("padding", payment.Object(part(string(good), 2, func(p string) string { return p + "==" })), payment.BadJWS)
	add("two parts", payment.Object(strings.Join(strings.Split(string(good), ".")[:2], ".")), payment.BadJWS)
	body("a member twice", `"v":1`, `"v":1,"v":1`, payment.BadJSON)
	body("a mis-cased member", `"oih"`, `"OIH"`, payment.BadJSON)
	body("an unknown member", `"v":1`, `"v":1,"gift":true`, payment.BadJSON)
	body("a missing member", `"payout":"merchant/shop1",`, ``, payment.BadJSON)
	body("another kind", `"kind":"request"`, `"kind":"offer"`, payment.BadJSON)
	body("another version", `"v":1`, `"v":2`, payment.BadJSON)
	body("an amount of nothing", `"minor":1234500`, `"minor":0`, payment.BadAmount)
	body("an amount with an exponent", `"minor":1234500`, `"minor":1e2`, payment.BadJSON)
	body("an amount beyond 2^53 - 1", `"minor":1234500`, `"minor":9007199254740992`, payment.BadAmount)
	body("an unknown currency", `"CNY"`, `"XQX"`, payment.BadAmount)
	body("a payment without UUIDv7", paymentID, strings.Replace(paymentID, "-7000-", "-4000-", 1), payment.BadJSON)
	body("another issuer", `"iss":"`+m.uri(), `"iss":"`+c.consumer.uri(), payment.BadSignature)
	body("other readers", `"aud":["`+g.uri(), `"aud":["`+c.issuer.uri(), payment.NotAddressedHere)
	wrong := c.specimens()[payment.KindRequest].body
	add("signed by a role that may not", sign(t, c.consumer, wrong), payment.WrongRole)
	late := c.specimens()[payment.KindRequest].body.(*payment.Request)
	late.IssuedAt, late.Expires = noon.Add(-time.Hour).Unix(), noon.Add(-time.Minute).Unix()
	add("expired", sign(t, m, late), payment.Expired)
	early := c.specimens()[payment.KindRequest].body.(*payment.Request)
	early.IssuedAt = noon.Add(2 * time.Minute).Unix()
	add("from the future", sign(t, m, early), payment.ClockSkew)
}

// instruction is an instruction's JSON, as package account writes it; the number is a test number.
func (c *cast) instruction(oih string) string {
	return `{"id":"` + paymentID + `","nonce":"` + nonce + `","consumer":"` + c.consumer.uri() + `","merchant":"` + c.merchant.uri() + `","gateway":"` + c.gateway.uri() +
		`","issuer":"` + c.issuer.uri() + `","oih":"` + oih + `","amount":{"minor":1234500,"currency":"CNY"},"account":{"number":"6228480000000007","expiry":"3011"},"confirm":{"mode":"realtime","channel":"online"},"exp":1795438800}`
}

func (f *vectorFile) addDual(t *testing.T, c *cast) {
	t.Helper()
	offer := sign(t, c.merchant, c.specimens()[payment.KindOffer].body)
	d := c.specimens()[payment.KindDual].body.(*payment.Dual)
	d.OIH = payment.OIH(offer)
	instruction := c.instruction(d.OIH)
	d.PIH = payment.PIH([]byte(instruction))
	f.Dual = vectorDual{Offer: string(offer), Instruction: instruction, OIH: d.OIH, PIH: d.PIH, Dual: string(sign(t, c.consumer, d))}
	f.add("the dual signature of these vectors", payment.KindDual, c.gateway, payment.Object(f.Dual.Dual), "")
}

func (f *vectorFile) addSealed(t *testing.T, c *cast) {
	t.Helper()
	good, err := payment.Seal(payment.KindInstruction, c.gateway.cert, []byte(f.Dual.Instruction))
	if err != nil {
		t.Fatal(err)
	}
	to := c.gateway.thumbprint()
	add := func(name, sealed string, code payment.Code) {
		v := vectorSealed{Name: name, Kind: payment.KindInstruction, Recipient: to, Sealed: sealed, Code: code}
		if code == "" {
			v.Plaintext = f.Dual.Instruction
		}
		f.Sealed = append(f.Sealed, v)
	}
	flip := func(p string) string {
		raw, _ := base64.RawURLEncoding.DecodeString(p)
		raw[0] ^= 1
		return b64.EncodeToString(raw)
	}
	add("an instruction", string(good), "")
	add("another text", part(string(good), 3, flip), payment.BadJWE)
	add("another tag", part(string(good), 4, flip), payment.BadJWE)
	add("another nonce", part(string(good), 2, flip), payment.BadJWE)
	add("an encrypted key", part(string(good), 1, func(string) string { return "AAAA" }), payment.BadJWE)
	other, err := payment.Seal(payment.KindInstruction, c.issuer.cert, []byte(f.Dual.Instruction))
	if err != nil {
		t.Fatal(err)
	}
	add("sealed to another party", string(other), payment.BadJWE)
	kind, err := payment.Seal(payment.KindExpect, c.gateway.cert, []byte("{}"))
	if err != nil {
		t.Fatal(err)
	}
	add("another typ", string(kind), payment.BadJWE)
}

// TestVectorsWithNode has a program without any of our code check the same file.
func TestVectorsWithNode(t *testing.T) {
	t.Parallel()
	node := catest.NeedTool(t, "node")
	out, err := exec.CommandContext(t.Context(), node, filepath.Join("..", "testdata", "vectors", "check.mjs")).CombinedOutput()
	if err != nil || !strings.Contains(string(out), " good, 0 wrong") {
		t.Errorf("%v:\n%s", err, out)
	}
}
