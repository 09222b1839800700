package policy

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// Where the names of a certificate come from.
const (
	FromParty   = "party"   // the record of the party, of which a request may choose some
	FromRequest = "request" // the request, within what is allowed
	FromFixed   = "fixed"   // exactly those of the profile, whatever the request says
)

// A NameSource says where the names of one kind come from, and which are allowed.
type NameSource struct {
	// From is party, request or fixed: the record of the party, of which a request may choose; the request, within allow; or exactly what allow lists.
	From string `yaml:"from,omitempty" json:"from,omitempty"`
	// Allow lists what is allowed. In a DNS name "*" stands for one whole label and {party} for the id of the party within a label; the last two labels
	// are always plain. Everything in the record if it is not given; needed for request and fixed.
	Allow []string `yaml:"allow,omitempty" json:"allow,omitempty"`
}

// partyVariable stands for the id of the party in a pattern.
const partyVariable = "{party}"

// A namePattern is a DNS name by labels, of which "*" stands for any one label. What is put in the place
// of {party} cannot widen it: the result has to be one label and is compared as it is, so that
// neither a dot nor a star in an id has a meaning.
type namePattern []string

const wantPattern = `a DNS name in lower case whose last two labels are plain, with "*" for a whole label or {party} within one`

// parsePattern reads a pattern; fixed ones hold no star.
func parsePattern(text string, fixed bool) (namePattern, error) {
	if text == "" || len(text) > 253 {
		return nil, fmt.Errorf("of %d characters: want %s", len(text), wantPattern)
	}
	p := namePattern(strings.Split(text, "."))
	for i, label := range p {
		plain := strings.Replace(label, partyVariable, "x", 1)
		switch {
		case label == "*" && fixed:
			return nil, errors.New("has a star: want the names themselves")
		case label == "*":
			plain = "x"
		case plain == "":
			return nil, fmt.Errorf("has an empty label: want %s", wantPattern)
		}
		if i >= len(p)-2 && plain != label {
			return nil, fmt.Errorf("has %q near its end: want %s", label, wantPattern)
		}
		if fault := labelFault(plain); fault != "" {
			return nil, fmt.Errorf("%s: want %s", fault, wantPattern)
		}
	}
	if len(p) < 2 || strings.Trim(p[len(p)-1], "0123456789") == "" {
		return nil, fmt.Errorf("is no name of two labels at least: want %s", wantPattern)
	}
	return p, nil
}

// label puts the party into one label; false if the result is no label.
func (namePattern) label(text, party string) (string, bool) {
	text = strings.Replace(text, partyVariable, party, 1)
	return text, labelFault(text) == ""
}

// matches says whether the name is one that the pattern allows to the party.
func (p namePattern) matches(name, party string) bool {
	for i, want := range p {
		got, rest, more := strings.Cut(name, ".")
		if more != (i < len(p)-1) || got == "" {
			return false
		}
		if want != "*" {
			label, ok := p.label(want, party)
			if !ok || label != got {
				return false
			}
		}
		name = rest
	}
	return true
}

// expand writes the pattern for the party; false if the id of the party does not fit into a label.
func (p namePattern) expand(party string) (string, bool) {
	labels := make([]string, len(p))
	for i, label := range p {
		var ok bool
		if labels[i], ok = p.label(label, party); !ok && label != "*" {
			return strings.Join(p, "."), false
		}
	}
	return strings.Join(labels, "."), true
}

// sources checks dns and addresses.
func (c *profileChecker) sources() {
	cfg := c.p.cfg
	if !c.p.Server() {
		for key, source := range map[string]NameSource{"dns": cfg.DNS, "addresses": cfg.Addresses} {
			if source.From != FromParty || len(source.Allow) > 0 {
				c.wrong(key, "%s: want none, the profile is not for servers", key)
			}
		}
		return
	}
	c.source("dns", cfg.DNS, FromParty, FromRequest, FromFixed)
	c.source("addresses", cfg.Addresses, FromParty, FromRequest)
	for i, text := range cfg.DNS.Allow {
		pattern, err := parsePattern(text, cfg.DNS.From == FromFixed)
		if err != nil {
			c.wrong(fmt.Sprintf("dns.allow[%d]", i), "dns.allow %s %v", quote(text), err)
		}
		c.p.names = append(c.p.names, pattern)
	}
	for i, text := range cfg.Addresses.Allow {
		prefix, err := netip.ParsePrefix(text)
		if err != nil || prefix != prefix.Masked() || prefix.Addr().Is4In6() {
			c.wrong(fmt.Sprintf("addresses.allow[%d]", i), "addresses.allow %s: want a range as 192.0.2.0/24 or 2001:db8::/32, without bits of a host", quote(text))
		}
		c.p.ranges = append(c.p.ranges, prefix)
	}
}

func (c *profileChecker) source(key string, source NameSource, from ...string) {
	switch {
	case !slices.Contains(from, source.From):
		c.wrong(key+".from", "%s.from %s: want %s", key, quote(source.From), strings.Join(from, " or "))
	case source.From != FromParty && len(source.Allow) == 0:
		c.wrong(key, "%s.allow: empty, want what is allowed where names come from %s", key, source.From)
	case len(source.Allow) > maxItems:
		c.wrong(key+".allow", "%s.allow: %d items, want at most %d", key, len(source.Allow), maxItems)
	}
}
