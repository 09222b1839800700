package config

import (
	"net/netip"
	"slices"
	"time"

	"github.com/payca/payca/policy"
)

// FileName is the name of the configuration file in payca's directory.
const FileName = "payca.yaml"

// Config is the configuration of one CA.
type Config struct {
	// Network is the domain under which the roles of the network live: a merchant's identity is spiffe://merchant.NETWORK/ID. It is in every certificate and never changes.
	Network string `yaml:"network"`
	// Listen is where the CA listens.
	Listen Listen `yaml:"listen"`
	// StatusURL is the base URL of OCSP, CRLs and issuer certificates. Every certificate carries it for life, so it never changes. Plain http, because status must be readable without trust.
	StatusURL string `yaml:"status_url"`
	// ServerNames are the DNS names of the CA's own server certificate.
	ServerNames []string `yaml:"server_names"`
	// Addresses are the IP addresses of the CA's own server certificate.
	Addresses []netip.Addr `yaml:"addresses"`
	// Store is where the CA keeps what it knows.
	Store Store `yaml:"store"`
	// Keys is how the CA's private keys are protected.
	Keys Keys `yaml:"keys"`
	// Profiles are rules for kinds of certificate. One replaces the built-in profile of the same name as a whole; the rest stand as they are.
	Profiles []policy.ProfileConfig `yaml:"profiles"`
	// OCSP is the shape of OCSP answers.
	OCSP OCSP `yaml:"ocsp"`
	// CRL is the shape of revocation lists.
	CRL CRL `yaml:"crl"`
	// Audit is where the events of the audit log go besides the log itself, which is not configurable.
	Audit Audit `yaml:"audit"`
	// Log is the shape of the log on standard error.
	Log Log `yaml:"log"`
}

// Listen is where the CA listens.
type Listen struct {
	// HTTPS is the host:port of enrollment and API, over TLS.
	HTTPS string `yaml:"https"`
	// HTTP is the host:port of OCSP, CRLs and issuer certificates, over plain HTTP.
	HTTP string `yaml:"http"`
}

// Store is where the CA keeps what it knows.
type Store struct {
	// Bolt is the path of the embedded database, relative to payca's directory.
	Bolt string `yaml:"bolt"`
}

// Keys is how private keys are protected.
type Keys struct {
	// PassphraseFile is the path of the file that holds the passphrase of the key files, relative to payca's directory. Keep it readable by the CA alone.
	PassphraseFile string `yaml:"passphrase_file"`
}

// OCSP is the shape of OCSP answers.
type OCSP struct {
	// Validity is the time from thisUpdate to nextUpdate of an answer.
	Validity policy.Duration `yaml:"validity"`
	// MaxAge is how long HTTP caches may keep an answer; a revocation can stay hidden behind a cache for so long.
	MaxAge policy.Duration `yaml:"max_age"`
}

// CRL is the shape of revocation lists.
type CRL struct {
	// Validity is the time from thisUpdate to nextUpdate of a list.
	Validity policy.Duration `yaml:"validity"`
	// Interval is the longest time between two lists; a revocation publishes a new one at once.
	Interval policy.Duration `yaml:"interval"`
}

// Audit is where the events of the audit log go.
type Audit struct {
	// Sinks are files, syslog servers and webhooks that get every event after its commit, in order, at least once.
	Sinks []Sink `yaml:"sinks"`
}

// Log is the shape of the log.
type Log struct {
	// Level is the least level that is written: debug, info, warn or error.
	Level string `yaml:"level"`
	// Format is how it is written: text or json.
	Format string `yaml:"format"`
}

// Default is the configuration of a network whose name is all that is known.
func Default(network string) Config {
	return Config{
		Network:     network,
		Listen:      Listen{HTTPS: "127.0.0.1:8443", HTTP: "127.0.0.1:8080"},
		StatusURL:   "http://localhost:8080",
		ServerNames: []string{"localhost"},
		Addresses:   []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1})},
		Store:       Store{Bolt: "ca/store.db"},
		Keys:        Keys{PassphraseFile: "ca/passphrase"},
		Profiles:    []policy.ProfileConfig{},
		OCSP:        OCSP{Validity: policy.Duration(24 * time.Hour), MaxAge: policy.Duration(5 * time.Minute)},
		CRL:         CRL{Validity: policy.Duration(7 * 24 * time.Hour), Interval: policy.Duration(12 * time.Hour)},
		Audit:       Audit{Sinks: []Sink{}},
		Log:         Log{Level: "info", Format: "text"},
	}
}

// AllProfiles returns the built-in profiles, those of the configuration in the
// place of their namesakes or, if they have none, at the end.
func (c *Config) AllProfiles() []policy.ProfileConfig {
	all := policy.DefaultProfiles()
	for _, p := range c.Profiles {
		i := slices.IndexFunc(all, func(q policy.ProfileConfig) bool { return q.Name == p.Name })
		if i < 0 {
			all = append(all, p)
			continue
		}
		all[i] = p
	}
	return all
}
