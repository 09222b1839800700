package rules

import (
	"crypto/rsa"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"cel.dev/cel-go/cel"

	"github.com/payca/payca/policy"
)

// A Variable is something that an expression can speak of.
type Variable struct {
	Name string // request.dns
	Type string // list(string)
	Doc  string // what it is
}

// A variable is a Variable and how it is read from a case.
type variable struct {
	name string
	kind *cel.Type
	size uint64 // most octets of a text, most items of a list; 0 for the rest
	doc  string
	read func(c *policy.Case) any
}

// Bounds of what a case can hold, for the worst case of a cost.
const (
	maxItems = 100
	maxText  = 256
)

// vocabulary is every variable. Values are those that a decision would have; the request has no say
// in them beyond what policy let pass.
var vocabulary = slices.Concat(partyVariables, requestVariables, []variable{
	{"profile.name", cel.StringType, 63, "name of the profile", func(c *policy.Case) any { return c.Request.Profile.Name() }},
	{"profile.use", cel.StringType, 63, "what the profile is for: tls, client, sign, encryption, operator", func(c *policy.Case) any { return c.Request.Profile.Use() }},
	{"certificate.dns", cel.ListType(cel.StringType), maxItems, "DNS names that the certificate would hold", func(c *policy.Case) any { return c.Decision.DNSNames }},
	{"certificate.addresses", cel.ListType(cel.StringType), maxItems, "IP addresses that the certificate would hold", func(c *policy.Case) any { return texts(c.Decision.Addresses) }},
	{"certificate.not_before", cel.TimestampType, 0, "its first second", func(c *policy.Case) any { return c.Decision.NotBefore }},
	{"certificate.not_after", cel.TimestampType, 0, "its last second", func(c *policy.Case) any { return c.Decision.NotAfter }},
	{"certificate.lifetime", cel.DurationType, 0, "how long it would be valid, the last second included", func(c *policy.Case) any {
		return c.Decision.NotAfter.Sub(c.Decision.NotBefore) + time.Second
	}},
	{"now", cel.TimestampType, 0, "when the certificate is asked for", func(c *policy.Case) any { return c.Request.Now }},
})

var partyVariables = []variable{
	{"party.id", cel.StringType, 63, "id of the party", func(c *policy.Case) any { return c.Request.Party.ID }},
	{"party.role", cel.StringType, 63, "its role", func(c *policy.Case) any { return string(c.Request.Party.Role) }},
	{"party.name", cel.StringType, maxText, "its legal name", func(c *policy.Case) any { return c.Request.Party.Name }},
	{"party.dns", cel.ListType(cel.StringType), maxItems, "DNS names in its record", func(c *policy.Case) any { return c.Request.Party.DNSNames }},
	{"party.addresses", cel.ListType(cel.StringType), maxItems, "IP addresses in its record", func(c *policy.Case) any { return texts(c.Request.Party.Addresses) }},
	{"party.created", cel.TimestampType, 0, "when it was registered", func(c *policy.Case) any { return c.Request.Party.Created }},
	{"network", cel.StringType, 64, "name of the network", func(c *policy.Case) any { return c.Request.Network }},
}

var requestVariables = []variable{
	{"request.protocol", cel.StringType, 63, "how the certificate is asked for: token, renew, issue, local", func(c *policy.Case) any { return c.Request.Protocol }},
	{"request.requester", cel.StringType, maxText, "on whose word: an identity URI, token:ID, local", func(c *policy.Case) any { return c.Request.Requester }},
	{"request.dns", cel.ListType(cel.StringType), maxItems, "DNS names in the request", func(c *policy.Case) any { return c.Request.CSR.DNSNames }},
	{"request.addresses", cel.ListType(cel.StringType), maxItems, "IP addresses in the request", func(c *policy.Case) any { return texts(c.Request.CSR.Addresses) }},
	{"request.common_name", cel.StringType, maxText, "CN that the request wishes, which no certificate gets", func(c *policy.Case) any { return c.Request.CSR.Subject.CommonName }},
	{"request.extensions", cel.ListType(cel.StringType), maxItems, "object identifiers of the extensions in the request", func(c *policy.Case) any {
		ids := make([]string, len(c.Request.CSR.Extensions))
		for i, ext := range c.Request.CSR.Extensions {
			ids[i] = ext.Id.String()
		}
		return ids
	}},
	{"request.key", cel.StringType, 63, "kind of the key: P-256, P-384, Ed25519, RSA-3072", func(c *policy.Case) any { return policy.DescribeKey(c.Request.CSR.PublicKey) }},
	{"request.rsa_bits", cel.IntType, 0, "size of the RSA modulus, 0 for other keys", func(c *policy.Case) any {
		if key, ok := c.Request.CSR.PublicKey.(*rsa.PublicKey); ok {
			return key.N.BitLen()
		}
		return 0
	}},
}

// Variables lists what an expression can speak of.
func Variables() []Variable {
	list := make([]Variable, len(vocabulary))
	for i, v := range vocabulary {
		list[i] = Variable{Name: v.name, Type: v.kind.String(), Doc: v.doc}
	}
	return list
}

func texts[T fmt.Stringer](items []T) []string {
	list := make([]string, len(items))
	for i, item := range items {
		list[i] = item.String()
	}
	return list
}

// byName finds a variable, nil if there is none.
func byName(name string) *variable {
	for i := range vocabulary {
		if vocabulary[i].name == name {
			return &vocabulary[i]
		}
	}
	return nil
}

// An activation reads variables from a case, when an expression asks for them.
type activation struct{ *policy.Case }

// ResolveName implements cel.Activation.
func (a activation) ResolveName(name string) (any, bool) {
	if v := byName(name); v != nil {
		return v.read(a.Case), true
	}
	return nil, false
}

// Parent implements cel.Activation.
func (activation) Parent() cel.Activation { return nil }

// show writes the values of variables for the message of a refusal: `request.protocol "token", now 2026-11-23T12:00:00Z`.
func show(names []string, c *policy.Case) string {
	if len(names) == 0 {
		return "false"
	}
	var b strings.Builder
	for i, name := range names {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(name + " " + value(byName(name).read(c)))
	}
	return b.String()
}

// value writes one value on one line and at a bounded length.
func value(v any) string {
	const most = 5
	switch v := v.(type) {
	case string:
		return quote(v)
	case []string:
		shown := make([]string, 0, most+1)
		for _, s := range v[:min(len(v), most)] {
			shown = append(shown, quote(s))
		}
		if len(v) > most {
			shown = append(shown, fmt.Sprintf("and %d more", len(v)-most))
		}
		return "[" + strings.Join(shown, ", ") + "]"
	case time.Time:
		return v.UTC().Format(time.RFC3339)
	case time.Duration:
		return policy.Duration(v).String()
	}
	return fmt.Sprint(v)
}

func quote(s string) string {
	const limit = 100
	if len(s) > limit {
		return strconv.Quote(s[:limit]) + "..."
	}
	return strconv.Quote(s)
}

// sizeOf is how large the value at a path can be, of a variable or of the items of a list; 0 if that is not known.
func sizeOf(path []string) uint64 {
	name, items := strings.CutSuffix(strings.Join(path, "."), ".@items")
	switch v := byName(name); {
	case v == nil:
		return 0
	case items:
		return maxText
	default:
		return v.size
	}
}
