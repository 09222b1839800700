package policy

import (
	"crypto"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// A ProfileConfig describes one kind of certificate as a configuration file
// does. [NewProfile] checks it.
type ProfileConfig struct {
	// Name is how requests and tokens name the profile: lower-case letters, digits and hyphens.
	Name string `yaml:"name" json:"name"`
	// Role is the role of the parties that may hold it. It is empty only for a
	// profile of OCSP signers, which belong to the CA itself.
	Role Role `yaml:"role,omitempty" json:"role,omitempty"`
	// KeyUsage is digitalSignature or keyAgreement: signing and encryption never share a key.
	KeyUsage string `yaml:"key_usage" json:"key_usage"`
	// ExtKeyUsage lists serverAuth and clientAuth, or only OCSPSigning. It is empty with keyAgreement.
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
}

// A Profile is the checked rules for one kind of certificate. Only [NewProfile] makes one, and nothing changes it.
type Profile struct {
	cfg         ProfileConfig
	keys        KeyRule
	keyUsage    x509.KeyUsage
	extKeyUsage []x509.ExtKeyUsage
}

// Name returns the name of the profile.
func (p *Profile) Name() string { return p.cfg.Name }

// Role returns the role of the parties that may hold it, "" for OCSP signers.
func (p *Profile) Role() Role { return p.cfg.Role }

// Config returns what the profile was made from, with every default filled in.
func (p *Profile) Config() ProfileConfig {
	cfg := p.cfg
	cfg.ExtKeyUsage, cfg.Keys = slices.Clone(cfg.ExtKeyUsage), slices.Clone(cfg.Keys)
	return cfg
}

// CheckKey checks a public key against the rules of the profile; see [KeyRule.Check].
func (p *Profile) CheckKey(pub crypto.PublicKey) error { return p.keys.Check(pub) }

// Server says whether the certificates are for servers and may carry DNS names and addresses.
func (p *Profile) Server() bool { return slices.Contains(p.extKeyUsage, x509.ExtKeyUsageServerAuth) }

// OCSPSigner says whether the certificates are for OCSP signers.
func (p *Profile) OCSPSigner() bool {
	return slices.Contains(p.extKeyUsage, x509.ExtKeyUsageOCSPSigning)
}

const (
	digitalSignature = "digitalSignature"
	keyAgreement     = "keyAgreement"
	serverAuth       = "serverAuth"
	clientAuth       = "clientAuth"
	ocspSigning      = "OCSPSigning"
)

// NewProfile fills in the defaults of cfg and checks it. The error joins all
// that is wrong with it.
func NewProfile(cfg ProfileConfig) (*Profile, error) {
	cfg.fill()
	p := &Profile{cfg: cfg, keys: KeyRule{Kinds: cfg.Keys, RSABits: cfg.RSABits}}
	var errs []error
	wrong := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf("profile %q: "+format, append([]any{cfg.Name}, args...)...))
	}
	if strings.Contains(cfg.Name, ".") || partyIDFault(cfg.Name, true) != "" {
		wrong("name: want 1 to 63 lower-case letters, digits and hyphens")
	}
	p.readUsages(wrong)
	switch {
	case p.OCSPSigner() && cfg.Role != "":
		wrong("role %q: want none, OCSP signers belong to the CA itself", cfg.Role)
	case !p.OCSPSigner() && cfg.Role.CA() == "":
		wrong("role %q: want a known role", cfg.Role)
	case cfg.Role == Consumer && p.Server():
		wrong("ext_key_usage serverAuth: want clientAuth, consumers run no servers")
	}
	if v := time.Duration(cfg.Validity); v < 2*time.Minute || v > 1826*day {
		wrong("validity %s: want 2m to 1826d", cfg.Validity)
	} else if b := cfg.Backdate; b < 0 || b > Duration(time.Hour) || b >= cfg.Validity {
		wrong("backdate %s: want at most 1h and less than validity", b)
	}
	if cfg.Validity%Duration(time.Second) != 0 || cfg.Backdate%Duration(time.Second) != 0 {
		wrong("validity and backdate: want whole seconds")
	}
	for _, kind := range cfg.Keys {
		if !slices.Contains(keyKinds(cfg.KeyUsage), kind) {
			wrong("keys %q: want %s with %s", kind, strings.Join(keyKinds(cfg.KeyUsage), ", "), cfg.KeyUsage)
		}
	}
	if cfg.RSABits < minRSABits || cfg.RSABits > maxRSABits {
		wrong("rsa_bits %d: want %d to %d", cfg.RSABits, minRSABits, maxRSABits)
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	return p, nil
}

func (cfg *ProfileConfig) fill() {
	cfg.ExtKeyUsage, cfg.Keys = slices.Clone(cfg.ExtKeyUsage), slices.Clone(cfg.Keys)
	if cfg.Backdate == 0 {
		cfg.Backdate = Duration(time.Minute)
	}
	if len(cfg.Keys) == 0 {
		cfg.Keys = keyKinds(cfg.KeyUsage)
	}
	if cfg.RSABits == 0 {
		cfg.RSABits = defaultRSABits
	}
}

// keyKinds lists the kinds of key that suit a key usage.
func keyKinds(usage string) []string {
	if usage == keyAgreement {
		return []string{KeyP256, KeyP384}
	}
	return []string{KeyP256, KeyP384, KeyEd25519, KeyRSA}
}

func (p *Profile) readUsages(wrong func(format string, args ...any)) {
	switch p.cfg.KeyUsage {
	case digitalSignature:
		p.keyUsage = x509.KeyUsageDigitalSignature
	case keyAgreement:
		p.keyUsage = x509.KeyUsageKeyAgreement
		if len(p.cfg.ExtKeyUsage) > 0 {
			wrong("ext_key_usage: want none with keyAgreement")
		}
	default:
		wrong("key_usage %q: want digitalSignature or keyAgreement", p.cfg.KeyUsage)
	}
	for i, name := range p.cfg.ExtKeyUsage {
		switch {
		case slices.Contains(p.cfg.ExtKeyUsage[:i], name):
			wrong("ext_key_usage %q: want it once", name)
		case name == serverAuth:
			p.extKeyUsage = append(p.extKeyUsage, x509.ExtKeyUsageServerAuth)
		case name == clientAuth:
			p.extKeyUsage = append(p.extKeyUsage, x509.ExtKeyUsageClientAuth)
		case name == ocspSigning:
			p.extKeyUsage = append(p.extKeyUsage, x509.ExtKeyUsageOCSPSigning)
			if len(p.cfg.ExtKeyUsage) > 1 {
				wrong("ext_key_usage OCSPSigning: want it alone")
			}
		default:
			wrong("ext_key_usage %q: want serverAuth, clientAuth or OCSPSigning", name)
		}
	}
}

// OCSPSignerProfile is the name of the profile of OCSP signers.
const OCSPSignerProfile = "ocsp-signer"

// DefaultProfile returns the name of the profile that a party of the role is
// issued when none is named.
func DefaultProfile(role Role) string { return string(role) }

// DefaultProfiles returns the profiles that every network starts with: one per role, named as the
// role, one NAME-encryption for each role that opens what others seal, and ocsp-signer.
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
	return append(cfgs, ProfileConfig{
		Name: OCSPSignerProfile, Validity: Duration(7 * day),
		KeyUsage: digitalSignature, ExtKeyUsage: []string{ocspSigning},
	})
}
