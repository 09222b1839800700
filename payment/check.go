package payment

import (
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/payca/payca/payment/money"
)

// maxInt is the largest integer that every JSON reader reads alike (RFC 7493 section 2.2).
const maxInt = 1<<53 - 1

// maxLife is how long an object may be valid: the longest dispute window, three years.
const maxLife = 3 * 366 * 24 * 3600

// checkBody checks the head of a body and the members of its own.
func checkBody(body Body) error {
	h, kind := body.head(), body.kind()
	c := checker{kind: kind}
	if h.V != version {
		c.refuse("v", strconv.Itoa(h.V), strconv.Itoa(version))
	}
	if h.Kind != kind {
		c.refuse("kind", quote(string(h.Kind)), quote(string(kind)))
	}
	c.id("id", h.ID)
	c.uri("iss", h.Issuer)
	if len(h.Audience) == 0 || len(h.Audience) > 8 {
		c.refuse("aud", strconv.Itoa(len(h.Audience))+" readers", "1 to 8")
	}
	for _, uri := range h.Audience {
		c.uri("aud", uri)
	}
	if h.IssuedAt <= 0 || h.Expires <= h.IssuedAt || h.Expires > maxInt || h.Expires-h.IssuedAt > maxLife {
		c.refuse("exp", strconv.FormatInt(h.IssuedAt, 10)+" to "+strconv.FormatInt(h.Expires, 10), "times in seconds, exp after iat, at most three years later")
	}
	if h.Ref != "" {
		c.digest("ref", h.Ref)
	}
	if c.err != nil {
		return c.err
	}
	if h.Amount != nil {
		if err := checkAmount(string(kind)+".amount", *h.Amount); err != nil {
			return err
		}
	}
	return body.check()
}

// checkAmount refuses what cannot be paid.
func checkAmount(field string, m money.Money) error {
	if err := m.Check(); err != nil {
		return &Refusal{Code: BadAmount, Field: field, Got: strconv.FormatInt(m.Minor, 10) + " minor units of " + quote(string(m.Currency)), Want: "1 to 2^53-1 minor units of an ISO 4217 currency", Err: err}
	}
	return nil
}

// A checker keeps the first thing that is wrong with the members of a body.
type checker struct {
	kind Kind
	err  error
}

func (c *checker) refuse(field, got, want string) {
	if c.err == nil {
		c.err = Refuse(BadJSON, string(c.kind)+"."+field, got, want)
	}
}

// id wants a UUID of version 7 in its one form (RFC 9562).
func (c *checker) id(field, s string) {
	if !IsID(s) {
		c.refuse(field, quote(s), "a UUID of version 7 in lower case")
	}
}

func (c *checker) uri(field, s string) {
	if !strings.HasPrefix(s, "spiffe://") || len(s) > 255 {
		c.refuse(field, quote(s), "an identity URI, spiffe://ROLE.NETWORK/PARTY")
	}
}

// digest wants the SHA-256 of something in base64url.
func (c *checker) digest(field, s string) {
	if raw, err := b64.DecodeString(s); err != nil || len(raw) != 32 {
		c.refuse(field, quote(s), "a SHA-256 digest in base64url")
	}
}

// nonce wants 128 random bits or more.
func (c *checker) nonce(field, s string) {
	if raw, err := b64.DecodeString(s); err != nil || len(raw) < 16 || len(raw) > 32 {
		c.refuse(field, quote(s), "16 to 32 octets in base64url")
	}
}

// text wants a line of text; it may be empty only if least is 0.
func (c *checker) text(field, s string, least, most int) {
	n := utf8.RuneCountInString(s)
	if n < least || n > most || strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		c.refuse(field, quote(s), strconv.Itoa(least)+" to "+strconv.Itoa(most)+" characters without control characters")
	}
}

func (c *checker) oneOf(field, s string, words ...string) {
	if slices.Contains(words, s) {
		return
	}
	c.refuse(field, quote(s), strings.Join(words, " or "))
}

func (c *checker) between(field string, n, least, most int64) {
	if n < least || n > most {
		c.refuse(field, strconv.FormatInt(n, 10), strconv.FormatInt(least, 10)+" to "+strconv.FormatInt(most, 10))
	}
}

func (c *checker) amount(h *Head) {
	if h.Amount == nil {
		c.refuse("amount", "missing", "an amount")
	}
}
