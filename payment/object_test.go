package payment_test

import (
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	jose "github.com/go-jose/go-jose/v4"

	"github.com/payca/payca/payment"
	"github.com/payca/payca/policy"
)

func codeOf(err error) payment.Code {
	if r, ok := errors.AsType[*payment.Refusal](err); ok {
		return r.Code
	}
	return ""
}

func TestEveryKindIsReadAsItWasSigned(t *testing.T) {
	t.Parallel()
	c := newCast(t)
	for kind, s := range c.specimens() {
		object := sign(t, s.signer, s.body)
		read := empty(t, kind)
		peer, err := c.verifier(s.reader.uri()).Open(t.Context(), object, read)
		if err != nil {
			t.Errorf("%s: %v", kind, err)
			continue
		}
		before, _ := json.Marshal(s.body)
		after, _ := json.Marshal(read)
		if peer.Identity != s.signer.id || string(before) != string(after) || string(after) != string(payment.Payload(object)) {
			t.Errorf("%s: got %s by %s, want %s by %s", kind, after, peer.Identity, before, s.signer.id)
		}
		if got, by := payment.KindOf(object); got != kind || by != s.signer.thumbprint() {
			t.Errorf("KindOf(%s): got %s by %s", kind, got, by)
		}
		if _, err := c.verifier(newParty(t, policy.Merchant, "stranger").uri()).Open(t.Context(), object, empty(t, kind)); codeOf(err) != payment.NotAddressedHere {
			t.Errorf("%s read by a stranger: %v", kind, err)
		}
		parsed, err := jose.ParseSignedCompact(string(object), []jose.SignatureAlgorithm{jose.ES256}) // the oracle
		if err == nil {
			_, err = parsed.Verify(s.signer.key.Public())
		}
		if err != nil {
			t.Errorf("%s: go-jose does not verify it: %v", kind, err)
		}
	}
}

// TestNoMemberCanBeChangedUnseen: each member of each kind is removed, doubled, mis-cased and re-typed, and the whole
// signed again: the form alone refuses it.
func TestNoMemberCanBeChangedUnseen(t *testing.T) {
	t.Parallel()
	c := newCast(t)
	optional := []string{"ref", "amount", "confirm", "contact", "attachments", "shipped", "delivered", "expect", "reason", "hold", "hold_exp", "final", "released"}
	count := 0
	for kind, s := range c.specimens() {
		all := members(t, sign(t, s.signer, s.body))
		try := func(name, what, payload string, may bool) {
			count++
			_, err := c.verifier(s.reader.uri()).Open(t.Context(), forge(t, s.signer, header(s.signer, kind), []byte(payload)), empty(t, kind))
			if code := codeOf(err); code == "" && !may || err != nil && code == "" {
				t.Errorf("%s with %s %s: got %v, want a refusal", kind, name, what, err)
			}
		}
		join := func(m map[string]json.RawMessage, extra string) string {
			var parts []string
			for _, name := range slices.Sorted(maps.Keys(m)) {
				parts = append(parts, `"`+name+`":`+string(m[name]))
			}
			return "{" + strings.Join(parts, ",") + extra + "}"
		}
		for name, value := range all {
			without := maps.Clone(all)
			delete(without, name)
			try(name, "removed", join(without, ""), slices.Contains(optional, name))
			try(name, "twice", join(all, `,"`+name+`":`+string(value)), false)
			try(name, "mis-cased", join(without, `,"`+strings.ToUpper(name)+`":`+string(value)), false)
			for _, other := range []string{`{"a":1}`, `[[]]`, `true`, `1e2`, `-1`, `"` + strings.Repeat("x", 5000) + `"`} {
				if other == "true" && (name == "final" || name == "released") || other == string(value) {
					continue
				}
				without[name] = json.RawMessage(other)
				try(name, "as "+other[:min(len(other), 9)], join(without, ""), false)
			}
		}
		try("a member", "unknown", join(all, `,"gift":1`), false)
		try("data", "behind", join(all, "")+"{}", false)
		try("a byte", "that is no UTF-8", strings.Replace(join(all, ""), paymentID, "\xff", 1), false)
	}
	if count < 600 {
		t.Errorf("tried %d changes, want 600 or more", count)
	}
}

// TestJWSTricksAreRefused is N17.
func TestJWSTricksAreRefused(t *testing.T) {
	t.Parallel()
	c := newCast(t)
	m := c.merchant
	s := c.specimens()[payment.KindRequest]
	good := sign(t, m, s.body)
	payload := payment.Payload(good)
	h := header(m, payment.KindRequest)
	with := func(old, new string) payment.Object { return forge(t, m, strings.Replace(h, old, new, 1), payload) }
	for _, tt := range []struct {
		name   string
		object payment.Object
		code   payment.Code
	}{
		{"alg none", payment.Object(part(part(string(with("ES256", "none")), 2, func(string) string { return "" }), 2, func(string) string { return "" })), payment.BadJWS},
		{"alg HS256", with("ES256", "HS256"), payment.BadJWS},
		{"alg ES384", with("ES256", "ES384"), payment.BadJWS},
		{"an embedded key", with(`"typ"`, `"jwk":{},"typ"`), payment.BadJWS},
		{"a key's address", with(`"typ"`, `"jku":"https://evil.test","typ"`), payment.BadJWS},
		{"a chain", with(`"typ"`, `"x5c":[],"typ"`), payment.BadJWS},
		{"critical parameters", with(`"typ"`, `"crit":["b64"],"b64":false,"typ"`), payment.BadJWS},
		{"white space in the header", with(`{"alg"`, `{ "alg"`), payment.BadJWS},
		{"another order in the header", forge(t, m, `{"typ":"pay-request+jws","alg":"ES256","kid":"`+m.thumbprint()+`"}`, payload), payment.BadJWS},
		{"another typ", with("pay-request", "pay-offer"), payment.BadJWS},
		{"an unknown typ", with("pay-request", "pay-gift"), payment.BadJWS},
		{"the thumbprint of another party", with(m.thumbprint(), c.gateway.thumbprint()), payment.BadSignature},
		{"an unknown thumbprint", with(m.thumbprint(), digest("nobody")), payment.UnknownSigner},
		{"a huge header", with(`"typ"`, `"x":"`+strings.Repeat("y", 5000)+`","typ"`), payment.BadJWS},
		{"a million dots", payment.Object(strings.Repeat(".", 1_000_000)), payment.BadJWS},
		{"two signatures", payment.Object(`{"payload":"","signatures":[]}`), payment.BadJWS},
		{"four parts", good + ".e30", payment.BadJWS},
		{"padding", payment.Object(part(string(good), 2, func(p string) string { return p + "==" })), payment.BadJWS},
		{"a signature of zeros", payment.Object(part(string(good), 2, func(string) string { return b64.EncodeToString(make([]byte, 64)) })), payment.BadSignature},
		{"a signature in DER", payment.Object(part(string(good), 2, func(string) string { return b64.EncodeToString(make([]byte, 71)) })), payment.BadJWS},
		{"another payload", payment.Object(part(string(good), 1, func(string) string { return b64.EncodeToString([]byte("{}")) })), payment.BadSignature},
		{"nothing", "", payment.BadJWS},
	} {
		_, err := c.verifier(c.gateway.uri()).Open(t.Context(), tt.object, &payment.Request{})
		if code := codeOf(err); code != tt.code {
			t.Errorf("%s: got %v, want %s", tt.name, err, tt.code)
		}
	}
}

func TestHeadsAreChecked(t *testing.T) {
	t.Parallel()
	c := newCast(t)
	for _, tt := range []struct {
		name   string
		change func(v *payment.Void)
		signer *party
		code   payment.Code
	}{
		{"from a minute and a second ahead", func(v *payment.Void) { v.IssuedAt = noon.Add(61 * time.Second).Unix() }, c.merchant, payment.ClockSkew},
		{"from half a minute ahead", func(v *payment.Void) { v.IssuedAt = noon.Add(30 * time.Second).Unix() }, c.merchant, ""},
		{"expired", func(v *payment.Void) { v.IssuedAt, v.Expires = noon.Add(-time.Hour).Unix(), noon.Unix() }, c.merchant, payment.Expired},
		{"signed by a role that may not", func(*payment.Void) {}, c.consumer, payment.WrongRole},
	} {
		v := c.specimens()[payment.KindVoid].body.(*payment.Void)
		tt.change(v)
		if _, err := c.verifier(c.gateway.uri()).Open(t.Context(), sign(t, tt.signer, v), &payment.Void{}); codeOf(err) != tt.code {
			t.Errorf("a void %s: got %v, want %q", tt.name, err, tt.code)
		}
	}
	for name, change := range map[string]func(v *payment.Void){
		"without readers":               func(v *payment.Void) { v.Audience = nil },
		"that ends before it begins":    func(v *payment.Void) { v.Expires = v.IssuedAt },
		"that lives four years":         func(v *payment.Void) { v.Expires = noon.AddDate(4, 0, 0).Unix() },
		"of a payment without UUIDv7":   func(v *payment.Void) { v.ID = "019f0000-0000-4000-8000-000000000001" },
		"of nothing":                    func(v *payment.Void) { v.Amount = amount(0) },
		"that refers to a short digest": func(v *payment.Void) { v.Ref = "abc" },
	} {
		v := c.specimens()[payment.KindVoid].body.(*payment.Void)
		change(v)
		if _, err := payment.Sign(c.merchant.signer(), v); codeOf(err) != payment.BadJSON && codeOf(err) != payment.BadAmount {
			t.Errorf("signing a void %s: got %v, want a refusal", name, err)
		}
	}
}

func TestIDsAreUUIDv7(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	last := ""
	for i := range 1000 {
		id := payment.NewID(noon.Add(time.Duration(i) * time.Millisecond))
		if !payment.IsID(id) || seen[id] || id < last {
			t.Fatalf("got %q after %q, want UUIDs of version 7, in order", id, last)
		}
		seen[id], last = true, id
	}
}

func FuzzOpen(f *testing.F) {
	c := newCast(f)
	for _, s := range c.specimens() {
		f.Add(string(sign(f, s.signer, s.body)))
	}
	f.Add("a.b.c")
	f.Fuzz(func(t *testing.T, text string) {
		kind, _ := payment.KindOf(payment.Object(text))
		if kind == "" {
			if payment.Payload(payment.Object(text)) != nil {
				t.Error("a malformed object has a payload")
			}
			return
		}
		body := empty(t, kind)
		if _, err := c.verifier("").Open(t.Context(), payment.Object(text), body); err == nil {
			if raw, _ := json.Marshal(body); string(raw) != string(payment.Payload(payment.Object(text))) {
				t.Errorf("%s is read as %s", payment.Payload(payment.Object(text)), raw)
			}
		}
	})
}
