package policy

import (
	"crypto"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// A ProfileConfig describes one kind of certificate as a configuration file
// does. [NewProfile] checks it.
type ProfileConfig struct {
	// Name is how requests and tokens name the profile: lower-case letters, digits and hyphens.
	Name string `yaml:"name" json:"name"`
	// Role is the role of the parties that may hold it. It is empty only for the profiles of OCSP signers and issuing CAs, which belong to the CA itself.
	Role Role `yaml:"role,omitempty" json:"role,omitempty"`
	// Use is what the certificates are for: tls, client, sign, encryption, operator, ocsp-signer or issuer. It stands for KeyUsage and ExtKeyUsage,
	// which may be left out then, or must say the same.
	Use string `yaml:"use,omitempty" json:"use,omitempty"`
	// KeyUsage is digitalSignature or keyAgreement: signing and encryption never share a key.
	KeyUsage string `yaml:"key_usage,omitempty" json:"key_usage,omitempty"`
	// ExtKeyUsage lists serverAuth and clientAuth, or only OCSPSigning, or only documentSigning. It is empty with keyAgreement.
	ExtKeyUsage []string `yaml:"ext_key_usage,omitempty" json:"ext_key_usage,omitempty"`
	// Validity is how long a certificate lasts unless a shorter time is asked for: days ("30" or "30d"),
	// or hours and minutes ("36h"), from 2m to 1826d.
	Validity Duration `yaml:"validity" json:"validity"`
	// Backdate is how far before its issuance a certificate may start, for the sake of slow clocks: at most 1h, 60s if it is not given.
	Backdate Duration `yaml:"backdate,omitempty" json:"backdate,omitempty"`
	// Keys lists the kinds of key that are accepted: P-256, P-384, Ed25519, RSA. All that suit the key usage if it is not given;
	// keyAgreement takes only P-256 and P-384.
	Keys []string `yaml:"keys,omitempty" json:"keys,omitempty"`
	// RSABits is the least size of an RSA key: 3072 if it is not given, not below 2048.
	RSABits int `yaml:"rsa_bits,omitempty" json:"rsa_bits,omitempty"`
	// DNS says where the DNS names come from.
	DNS NameSource `yaml:"dns,omitempty" json:"dns,omitzero"`
	// Addresses says where the IP addresses come from; its allow lists ranges, as 192.0.2.0/24.
	Addresses NameSource `yaml:"addresses,omitempty" json:"addresses,omitzero"`
	// Policies lists the object identifiers of certificatePolicies (RFC 5280 section 4.2.1.4).
	Policies []string `yaml:"policies,omitempty" json:"policies,omitempty"`
	// Extensions lists the object identifiers of the extensions that a request may bring along, not critical. None of those that the CA writes.
	Extensions []string `yaml:"extensions,omitempty" json:"extensions,omitempty"`
	// MustStaple has certificates say that the TLS server or client that shows them also shows a fresh OCSP response (RFC 7633). Package enroll/mtls
	// refuses those that do not.
	MustStaple bool `yaml:"must_staple,omitempty" json:"must_staple,omitempty"`
	// Protocols lists how a certificate may be asked for: token, renew, issue, est, step, local. Every way if it is not given.
	Protocols []string `yaml:"protocols,omitempty" json:"protocols,omitempty"`
	// RenewGrace is for how long after its end a certificate can still be renewed: not at all if it is not given, at most 90d.
	RenewGrace Duration `yaml:"renew_grace,omitempty" json:"renew_grace,omitempty"`
	// ServerKeygen lets the CA make the key, for who asks by EST; with keyAgreement alone.
	ServerKeygen bool `yaml:"server_keygen,omitempty" json:"server_keygen,omitempty"`
	// Limits bounds what one party may hold and ask for.
	Limits Limits `yaml:"limits,omitempty" json:"limits,omitzero"`
	// Approval says who must approve a request. Nobody if it is not given.
	Approval *ApprovalConfig `yaml:"approval,omitempty" json:"approval,omitempty"`
	// Rules are conditions that every request must fulfil.
	Rules []RuleConfig `yaml:"rules,omitempty" json:"rules,omitempty"`
}

// A Profile is the checked rules for one kind of certificate. Only [NewProfile] and [CompileProfile] make one, and nothing changes it.
type Profile struct {
	cfg         ProfileConfig
	keys        KeyRule
	keyUsage    x509.KeyUsage
	extKeyUsage []x509.ExtKeyUsage
	unknownEKU  []asn1.ObjectIdentifier
	names       []namePattern  // of cfg.DNS.Allow
	ranges      []netip.Prefix // of cfg.Addresses.Allow
	policies    []x509.OID
	extensions  []asn1.ObjectIdentifier
	rules       []Rule
}

// Name returns the name of the profile.
func (p *Profile) Name() string { return p.cfg.Name }

// Role returns the role of the parties that may hold it, "" for OCSP signers and issuing CAs.
func (p *Profile) Role() Role { return p.cfg.Role }

// Config returns what the profile was made from, with every default filled in.
func (p *Profile) Config() ProfileConfig { return p.cfg.clone() }

// clone copies what a caller could change.
func (cfg ProfileConfig) clone() ProfileConfig {
	for _, list := range []*[]string{
		&cfg.ExtKeyUsage, &cfg.Keys, &cfg.DNS.Allow, &cfg.Addresses.Allow, &cfg.Policies, &cfg.Extensions, &cfg.Protocols,
	} {
		*list = slices.Clone(*list)
	}
	cfg.Rules = slices.Clone(cfg.Rules)
	if cfg.Approval != nil {
		approval := *cfg.Approval
		cfg.Approval = &approval
	}
	return cfg
}

// CheckKey checks a public key against the rules of the profile; see [KeyRule.Check].
func (p *Profile) CheckKey(pub crypto.PublicKey) error { return p.keys.Check(pub) }

// A ProfileError is one thing that is wrong with a [ProfileConfig].
type ProfileError struct {
	Profile string // its name
	Key     string // path of the key in the profile: "limits.per", "rules[1].require"
	Text    string // what is wrong, and what would be right
}

// Error is the profile and the text.
func (e *ProfileError) Error() string { return fmt.Sprintf("profile %q: %s", e.Profile, e.Text) }

// NewProfile fills in the defaults of cfg and checks it. The error joins all
// that is wrong with it, each a *[ProfileError]. It refuses rules, which need [CompileProfile].
func NewProfile(cfg ProfileConfig) (*Profile, error) { return CompileProfile(cfg, nil) }

// CompileProfile is [NewProfile] for a profile with rules, which compile understands.
func CompileProfile(cfg ProfileConfig, compile Compiler) (*Profile, error) {
	cfg = cfg.clone()
	cfg.fill()
	c := &profileChecker{p: &Profile{cfg: cfg, keys: KeyRule{Kinds: cfg.Keys, RSABits: cfg.RSABits}}}
	if strings.Contains(cfg.Name, ".") || partyIDFault(cfg.Name, true) != "" {
		c.wrong("name", "name: want 1 to 63 lower-case letters, digits and hyphens")
	}
	c.usages()
	c.role()
	c.times()
	c.keys()
	c.sources()
	c.identifiers()
	c.conduct()
	c.rules(compile)
	if len(c.errs) > 0 {
		return nil, errors.Join(c.errs...)
	}
	return c.p, nil
}

// A profileChecker builds a profile from its configuration.
type profileChecker struct {
	p    *Profile
	errs []error
}

// wrong keeps a fault of the key at that path.
func (c *profileChecker) wrong(key, format string, args ...any) {
	c.errs = append(c.errs, &ProfileError{Profile: c.p.cfg.Name, Key: key, Text: fmt.Sprintf(format, args...)})
}

// refuseAt keeps a fault of one item of a list.
func (c *profileChecker) refuseAt(key string, i int, item, want string) {
	c.wrong(fmt.Sprintf("%s[%d]", key, i), "%s %s: want %s", key, quote(item), want)
}

func (cfg *ProfileConfig) fill() {
	if use, ok := uses[cfg.Use]; ok {
		if cfg.KeyUsage == "" {
			cfg.KeyUsage = use.keyUsage
		}
		if len(cfg.ExtKeyUsage) == 0 {
			cfg.ExtKeyUsage = slices.Clone(use.extKeyUsage)
		}
	}
	if cfg.Backdate == 0 {
		cfg.Backdate = Duration(time.Minute)
	}
	if len(cfg.Keys) == 0 {
		cfg.Keys = keyKinds(cfg.KeyUsage)
	}
	if cfg.RSABits == 0 {
		cfg.RSABits = defaultRSABits
	}
	if cfg.DNS.From == "" {
		cfg.DNS.From = FromParty
	}
	if cfg.Addresses.From == "" {
		cfg.Addresses.From = FromParty
	}
}

func (c *profileChecker) role() {
	role, own := c.p.cfg.Role, c.p.OCSPSigner() || c.p.Issuer()
	switch {
	case own && role != "":
		c.wrong("role", "role %q: want none, OCSP signers and issuing CAs belong to the CA itself", role)
	case !own && role.CA() == "":
		c.wrong("role", "role %q: want a known role", role)
	case c.p.cfg.Name == OCSPSignerProfile && !c.p.OCSPSigner(), c.p.cfg.Name == IssuerProfile && !c.p.Issuer():
		c.wrong("use", "use %s: want %s, for the CA takes this profile for it", quote(c.p.cfg.Use), c.p.cfg.Name)
	case c.p.Server() && !role.servers():
		c.wrong("ext_key_usage", "ext_key_usage serverAuth: want clientAuth, a %s runs no servers", role)
	case c.p.cfg.Use == useOperator && role.CA() != ServiceCA:
		c.wrong("use", "use operator: want role operator, auditor or service")
	}
}

func (c *profileChecker) times() {
	cfg, longest := c.p.cfg, 1826*day
	if c.p.Issuer() {
		longest = 3653 * day
	}
	if v := time.Duration(cfg.Validity); v < 2*time.Minute || v > longest {
		c.wrong("validity", "validity %s: want 2m to %s", cfg.Validity, Duration(longest))
	} else if b := cfg.Backdate; b < 0 || b > Duration(time.Hour) || b >= cfg.Validity {
		c.wrong("backdate", "backdate %s: want at most 1h and less than validity", b)
	}
	if cfg.Validity%Duration(time.Second) != 0 || cfg.Backdate%Duration(time.Second) != 0 {
		c.wrong("validity", "validity and backdate: want whole seconds")
	}
}

func (c *profileChecker) keys() {
	cfg := c.p.cfg
	for i, kind := range cfg.Keys {
		if kinds := keyKinds(cfg.KeyUsage); !slices.Contains(kinds, kind) {
			c.refuseAt("keys", i, kind, strings.Join(kinds, ", ")+" with "+cfg.KeyUsage)
		}
	}
	if cfg.MustStaple && (cfg.KeyUsage != digitalSignature || !slices.Contains(cfg.ExtKeyUsage, serverAuth) && !slices.Contains(cfg.ExtKeyUsage, clientAuth)) {
		c.wrong("must_staple", "must_staple: want a profile for TLS servers or clients, nobody else can staple")
	}
	if cfg.RSABits < minRSABits || cfg.RSABits > maxRSABits {
		c.wrong("rsa_bits", "rsa_bits %d: want %d to %d", cfg.RSABits, minRSABits, maxRSABits)
	}
}

// OCSPSignerProfile is the name of the profile of OCSP signers, IssuerProfile that of issuing CAs.
const (
	OCSPSignerProfile = "ocsp-signer"
	IssuerProfile     = "issuer"
)

// DefaultProfile returns the name of the profile that a party of the role is
// issued when none is named.
func DefaultProfile(role Role) string { return string(role) }

// DefaultProfiles returns the profiles that every network starts with: one per role, named as the
// role, one NAME-encryption for each role that opens what others seal, ocsp-signer and issuer.
func DefaultProfiles() []ProfileConfig {
	var cfgs []ProfileConfig
	for _, role := range Roles() {
		cfg := ProfileConfig{
			Name: DefaultProfile(role), Role: role, Validity: Duration(30 * day),
			KeyUsage: digitalSignature, ExtKeyUsage: []string{serverAuth, clientAuth},
		}
		switch role {
		case Consumer:
			cfg.ExtKeyUsage, cfg.Validity = []string{clientAuth}, Duration(90*day)
		case Operator, Auditor:
			cfg.ExtKeyUsage = []string{clientAuth}
		}
		cfgs = append(cfgs, cfg)
	}
	for _, role := range []Role{Gateway, Aggregator, IssuingBank, Confirmer, Wallet} {
		cfgs = append(cfgs, ProfileConfig{
			Name: string(role) + "-encryption", Role: role, Validity: Duration(30 * day), KeyUsage: keyAgreement,
		})
	}
	return append(cfgs,
		ProfileConfig{Name: OCSPSignerProfile, Use: useOCSPSigner, Validity: Duration(7 * day)},
		ProfileConfig{Name: IssuerProfile, Use: useIssuer, Validity: Duration(1826 * day), Keys: []string{KeyP256}})
}
