package policy

import (
	"crypto/x509"
	"encoding/asn1"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Limits bounds what one party may hold and ask for under one profile; 0 is no limit.
type Limits struct {
	// Valid is how many certificates a party may hold at once that are neither expired nor revoked. The one that a renewal replaces does not count.
	Valid int `yaml:"valid,omitempty" json:"valid,omitempty"`
	// Issued is how many certificates a party may be issued within the time of per.
	Issued int `yaml:"issued,omitempty" json:"issued,omitempty"`
	// Per is the time that issued looks back: 1m to 366d.
	Per Duration `yaml:"per,omitempty" json:"per,omitempty"`
}

// maxLimit is the greatest limit: counting up to it is quick.
const maxLimit = 10_000

// Exceeded says which limits one more certificate would exceed, given how many the party holds and how
// many it was issued within Per.
func (l Limits) Exceeded(valid, issued int) Violations {
	var vs Violations
	if l.Valid > 0 && valid >= l.Valid {
		vs = append(vs, &Violation{
			Rule: "limit-valid", Field: "valid certificates of the party under the profile", Got: strconv.Itoa(valid),
			Want: fmt.Sprintf("fewer than %d; revoke one, or renew it", l.Valid),
		})
	}
	if l.Issued > 0 && issued >= l.Issued {
		vs = append(vs, &Violation{
			Rule: "limit-rate", Field: "certificates of the party under the profile within " + l.Per.String(), Got: strconv.Itoa(issued),
			Want: fmt.Sprintf("fewer than %d; wait", l.Issued),
		})
	}
	return vs
}

// Limits returns what bounds one party.
func (p *Profile) Limits() Limits { return p.cfg.Limits }

// An ApprovalConfig says who must approve a request, as a configuration file does.
type ApprovalConfig struct {
	// K is how many must approve: 1 to of.
	K int `yaml:"k" json:"k"`
	// Of is how many approvers there are at least.
	Of int `yaml:"of" json:"of"`
	// By is who approves: operators, or bank for the issuing bank of a consumer.
	By string `yaml:"by" json:"by"`
}

// An Approval says who must approve a request.
type Approval struct {
	K  int      // so many of them
	Of int      // out of so many at least
	By []string // "operators", or "bank"
}

// The kinds of approvers.
const (
	ByOperators = "operators"
	ByBank      = "bank"
)

// Approval returns who must approve a request; false if nobody has to.
func (p *Profile) Approval() (Approval, bool) {
	a := p.cfg.Approval
	if a == nil {
		return Approval{}, false
	}
	return a.Approval(), true
}

// Protocols lists the ways in which a certificate can be asked for.
func Protocols() []string { return []string{"token", "renew", "issue", "est", "step", "local"} }

// conduct checks protocols, limits and approval.
func (c *profileChecker) conduct() {
	cfg := c.p.cfg
	for i, name := range cfg.Protocols {
		if !slices.Contains(Protocols(), name) {
			c.refuseAt("protocols", i, name, strings.Join(Protocols(), ", "))
		}
	}
	limits := cfg.Limits
	for key, n := range map[string]int{"valid": limits.Valid, "issued": limits.Issued} {
		if n < 0 || n > maxLimit {
			c.wrong("limits."+key, "limits.%s %d: want 1 to %d, or 0 for no limit", key, n, maxLimit)
		}
	}
	if per := time.Duration(limits.Per); (limits.Issued > 0) != (per > 0) {
		c.wrong("limits", "limits: issued %d per %s, want both or neither", limits.Issued, limits.Per)
	} else if per != 0 && (per < time.Minute || per > 366*day) {
		c.wrong("limits.per", "limits.per %s: want 1m to 366d", limits.Per)
	}
	if own := c.p.OCSPSigner() || c.p.Issuer(); own && (limits != Limits{} || cfg.Approval != nil || len(cfg.Protocols) > 0) {
		c.wrong("use", "limits, approval, protocols: want none, the CA makes these certificates for itself")
	}
	if grace := time.Duration(cfg.RenewGrace); grace < 0 || grace > 90*day {
		c.wrong("renew_grace", "renew_grace %s: want at most 90d", cfg.RenewGrace)
	}
	if cfg.ServerKeygen && cfg.KeyUsage != keyAgreement {
		c.wrong("server_keygen", "server_keygen with key_usage %s: want keyAgreement, nobody else makes a key that signs", cfg.KeyUsage)
	}
	c.approval()
}

func (c *profileChecker) approval() {
	a := c.p.cfg.Approval
	if a == nil {
		return
	}
	for _, f := range a.faults() {
		c.wrong("approval."+f.key, "approval.%s", f.text)
	}
	switch {
	case a.By == ByBank && c.p.cfg.Role != Consumer:
		c.wrong("approval.by", "approval.by bank: want operators, only consumers have a bank")
	case a.By == ByBank && a.Of != 1:
		c.wrong("approval.of", "approval.of %d by bank: want 1, a consumer has one bank", a.Of)
	case c.p.cfg.Role == Service:
		c.wrong("approval", "approval: want none, the CA issues its own server certificate under a profile for the role service")
	case c.p.cfg.KeyUsage == keyAgreement:
		c.wrong("approval", "approval: want none with keyAgreement, a party gets these by the signing certificate that was approved")
	}
}

// written lists the arcs of the extensions that the CA writes, or that no request decides: those of
// certificates (2.5.29), of PKIX (private extensions and access methods) and of precertificates.
var written = []asn1.ObjectIdentifier{
	{2, 5, 29}, {1, 3, 6, 1, 5, 5, 7, 1}, {1, 3, 6, 1, 5, 5, 7, 48}, {1, 3, 6, 1, 4, 1, 11129, 2, 4}, {2, 16, 840, 1, 113730, 1},
}

// identifiers checks policies and extensions.
func (c *profileChecker) identifiers() {
	cfg := c.p.cfg
	for i, text := range cfg.Policies {
		oid, err := x509.ParseOID(text)
		switch {
		case err != nil || strings.HasPrefix(text, "2.5.29.32."):
			c.refuseAt("policies", i, text, "an object identifier, and not anyPolicy")
		case slices.Contains(cfg.Policies[:i], text):
			c.refuseAt("policies", i, text, "it once")
		}
		c.p.policies = append(c.p.policies, oid)
	}
	for i, text := range cfg.Extensions {
		oid, fault := parseExtensionOID(text)
		switch {
		case fault != "":
			c.refuseAt("extensions", i, text, fault)
		case slices.Contains(cfg.Extensions[:i], text):
			c.refuseAt("extensions", i, text, "it once")
		}
		c.p.extensions = append(c.p.extensions, oid)
	}
	if n := max(len(cfg.Policies), len(cfg.Extensions)); n > 20 {
		c.wrong("policies", "policies, extensions: %d of one, want at most 20", n)
	}
}

func parseExtensionOID(text string) (asn1.ObjectIdentifier, string) {
	parsed, err := x509.ParseOID(text)
	if err != nil {
		return nil, "an object identifier, as 1.3.6.1.4.1.99999.1"
	}
	var oid asn1.ObjectIdentifier
	for arc := range strings.SplitSeq(parsed.String(), ".") {
		n, err := strconv.ParseInt(arc, 10, 32)
		if err != nil {
			return nil, "an object identifier with arcs below 2^31"
		}
		oid = append(oid, int(n))
	}
	for _, arc := range written {
		if len(oid) >= len(arc) && slices.Equal(oid[:len(arc)], arc) {
			return nil, "one that no standard for certificates defines, such as 1.3.6.1.4.1.99999.1: what those say, the CA writes"
		}
	}
	return oid, ""
}
