package config

import (
	"net/netip"
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
	// Rules are conditions in CEL that every request of a party must fulfil, under whatever profile.
	Rules []policy.RuleConfig `yaml:"rules"`
	// Approvals is who approves changes of the policy and the issuing CAs, and the revocation of many certificates. Who approves a certificate stands in its profile.
	Approvals policy.Approvals `yaml:"approvals"`
	// Endpoints are what roles may call. An entry replaces the built-in one for the same role as a whole; the rest stand as they are.
	Endpoints []policy.Access `yaml:"endpoints"`
	// OCSP is the shape of OCSP answers.
	OCSP OCSP `yaml:"ocsp"`
	// CRL is the shape of revocation lists.
	CRL CRL `yaml:"crl"`
	// Audit is where the events of the audit log go besides the log itself, which is not configurable.
	Audit Audit `yaml:"audit"`
	// Notices are messages about certificates that end soon and have no successor.
	Notices Notices `yaml:"notices"`
	// Recheck is the nightly walk over the inventory.
	Recheck Recheck `yaml:"recheck"`
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
	// WeakLists are the paths of lists of weak public keys that nobody may have certified, relative to payca's directory: one fingerprint a line, as in Debian's openssl-blacklist.
	WeakLists []string `yaml:"weak_lists"`
}

// Recheck is the nightly walk over the inventory, which looks at every certificate with the rules of today.
type Recheck struct {
	// At is the time of day at which it begins, in UTC.
	At string `yaml:"at"`
	// Load is how many percent of one processor it may take.
	Load int `yaml:"load"`
}

// OCSP is the shape of OCSP answers.
type OCSP struct {
	// Validity is the time from thisUpdate to nextUpdate of an answer.
	Validity policy.Duration `yaml:"validity"`
	// MaxAge is how long HTTP caches may keep an answer; a revocation can stay hidden behind a cache for so long.
	MaxAge policy.Duration `yaml:"max_age"`
	// ResponderID is how answers name their signer: key or name.
	ResponderID string `yaml:"responder_id"`
	// SHA1 says whether questions by SHA-1 are answered; most clients ask no others.
	SHA1 bool `yaml:"sha1"`
	// ExtendedRevoke answers revoked in the place of unknown about serials that were never issued (RFC 6960 section 2.2).
	ExtendedRevoke bool `yaml:"extended_revoke"`
	// Retention is for how long after its end the status of a certificate is told, at least; answers say so by their archive cutoff. 0s says nothing.
	Retention policy.Duration `yaml:"retention"`
}

// CRL is the shape of revocation lists.
type CRL struct {
	// Validity is the time from thisUpdate to nextUpdate of a list.
	Validity policy.Duration `yaml:"validity"`
	// Interval is the longest time between two lists; a revocation publishes a new one within a second.
	Interval policy.Duration `yaml:"interval"`
	// Shards is over how many parts of its CRL each issuing CA spreads new certificates; 0 has them name the full list. A certificate names its part for life, so a part that exists stays.
	Shards int `yaml:"shards"`
	// ShardsOf is another number of parts for some issuing CAs, as in {consumer 128}.
	ShardsOf map[string]int `yaml:"shards_of"`
	// ShardBudget is the size in octets above which a part raises an alarm.
	ShardBudget int64 `yaml:"shard_budget"`
	// RootAlarm is how long before its end the CRL of the root raises an alarm.
	RootAlarm policy.Duration `yaml:"root_alarm"`
}

// Audit is where the events of the audit log go.
type Audit struct {
	// Sinks are files, syslog servers and webhooks that get every event after its commit, in order, at least once.
	Sinks []Sink `yaml:"sinks"`
}

// Notices are messages about certificates that end soon.
type Notices struct {
	// Expiring is how long before the end of a certificate people are told, once for each.
	Expiring []policy.Duration `yaml:"expiring"`
	// Mail is who gets them by mail; nobody without a server.
	Mail Mail `yaml:"mail"`
	// Webhook is who gets them by HTTP; nobody without a url.
	Webhook Hook `yaml:"webhook"`
}

// Mail is how mail is sent.
type Mail struct {
	// Server is the host:port of an SMTP server.
	Server string `yaml:"server"`
	// Security is starttls, tls or none.
	Security string `yaml:"security"`
	// CAFile is the path of PEM certificates that vouch for the server, relative to payca's directory; empty for the system's.
	CAFile string `yaml:"ca_file"`
	// User is the name for AUTH PLAIN, empty for none.
	User string `yaml:"user"`
	// PasswordFile is the path of the file that holds the password, relative to payca's directory.
	PasswordFile string `yaml:"password_file"`
	// From is the address of the sender.
	From string `yaml:"from"`
	// To are the addresses of the receivers.
	To []string `yaml:"to"`
}

// Hook is a webhook.
type Hook struct {
	// URL is where messages are posted to, http or https.
	URL string `yaml:"url"`
	// SecretFile is the path of the file that holds the secret with which they are signed, relative to payca's directory.
	SecretFile string `yaml:"secret_file"`
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
		Keys:        Keys{PassphraseFile: "ca/passphrase", WeakLists: []string{}},
		Profiles:    []policy.ProfileConfig{},
		Rules:       []policy.RuleConfig{},
		Approvals:   policy.Approvals{Approvers: []string{}},
		Endpoints:   []policy.Access{},
		OCSP:        OCSP{Validity: policy.Duration(24 * time.Hour), MaxAge: policy.Duration(5 * time.Minute), ResponderID: "key", SHA1: true, Retention: policy.Duration(3 * 366 * 24 * time.Hour)},
		CRL:         CRL{Validity: policy.Duration(7 * 24 * time.Hour), Interval: policy.Duration(12 * time.Hour), Shards: 16, ShardsOf: map[string]int{}, ShardBudget: 512 << 10, RootAlarm: policy.Duration(60 * 24 * time.Hour)},
		Audit:       Audit{Sinks: []Sink{}},
		Notices: Notices{
			Expiring: []policy.Duration{policy.Duration(7 * 24 * time.Hour), policy.Duration(24 * time.Hour)},
			Mail:     Mail{Security: "starttls", To: []string{}},
		},
		Recheck: Recheck{At: "02:30", Load: 20},
		Log:     Log{Level: "info", Format: "text"},
	}
}
