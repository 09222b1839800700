package api

import (
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/payca/payca/enroll/problem"
	"github.com/payca/payca/policy"
)

// A KeyUse is one trusted key of the inventory that PCI DSS 4.0.1 asks for in requirement 4.2.1.1.
type KeyUse struct {
	Name       string    `json:"name"`       // of the certificate's subject, or what the key is called
	Algorithm  string    `json:"algorithm"`  // of the key, as in P-256
	Signature  string    `json:"signature"`  // with which the certificate is signed; "" without a certificate
	Purpose    string    `json:"purpose"`    // what it protects
	Where      string    `json:"where"`      // who holds it
	Protection string    `json:"protection"` // how it is kept
	Serial     string    `json:"serial"`     // of the certificate, hexadecimal; "" without one
	NotAfter   time.Time `json:"not_after,omitzero"`
	SHA256     string    `json:"sha256"` // of the SubjectPublicKeyInfo, hexadecimal
}

// A SuiteUse is one protocol and cipher suite of the inventory of requirement 12.3.3.
type SuiteUse struct {
	Protocol    string    `json:"protocol"` // TLS 1.3
	Suite       string    `json:"suite"`    // as IANA names it
	Group       string    `json:"group"`    // of the key exchange; "" where none was seen yet
	Purpose     string    `json:"purpose"`
	Where       string    `json:"where"`
	Connections uint64    `json:"connections"` // since the server started; 0 for what is offered and was not used
	LastUsed    time.Time `json:"last_used,omitzero"`
}

// A CryptoInventory is what the CA itself has and does; the certificates that it issued are its inventory proper.
type CryptoInventory struct {
	Network string     `json:"network"`
	Time    time.Time  `json:"time"`
	Keys    []KeyUse   `json:"keys"`
	Suites  []SuiteUse `json:"suites"`
}

// CertificateKey describes the key of an issuing certificate.
func CertificateKey(c *x509.Certificate, purpose, where, protection string) KeyUse {
	return KeyUse{
		Name: c.Subject.String(), Algorithm: policy.DescribeKey(c.PublicKey), Signature: c.SignatureAlgorithm.String(), Purpose: purpose, Where: where,
		Protection: protection, Serial: c.SerialNumber.Text(16), NotAfter: c.NotAfter, SHA256: hexSum(c.RawSubjectPublicKeyInfo),
	}
}

// NamedKey describes a key without a certificate; the hash is of public.
func NamedKey(name, algorithm, purpose, where, protection string, public []byte) KeyUse {
	return KeyUse{Name: name, Algorithm: algorithm, Purpose: purpose, Where: where, Protection: protection, SHA256: hexSum(public)}
}

// cryptoInventory: GET /v1/crypto
func (a *api) cryptoInventory(w http.ResponseWriter, _ *http.Request) error {
	out := CryptoInventory{Network: a.cfg.Network, Time: a.cfg.Now().UTC()}
	out.Keys, out.Suites = a.cfg.Keys(), a.cfg.Suites()
	return problem.WriteJSON(w, http.StatusOK, out)
}

// Suites counts what connections negotiated. The zero value is ready, and safe for concurrent use.
type Suites struct {
	mu   sync.Mutex
	used map[suite]*SuiteUse // guarded by mu
}

type suite struct {
	version, id uint16
	group       tls.CurveID
}

// Observe counts a connection.
func (s *Suites) Observe(c *tls.ConnectionState, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	k := suite{c.Version, c.CipherSuite, c.CurveID}
	use := s.used[k]
	if use == nil {
		use = &SuiteUse{Protocol: tls.VersionName(c.Version), Suite: tls.CipherSuiteName(c.CipherSuite), Group: c.CurveID.String()}
		if s.used == nil {
			s.used = map[suite]*SuiteUse{}
		}
		s.used[k] = use
	}
	use.Connections++
	use.LastUsed = now.UTC()
}

// List returns what was used and, of what a configuration offers, what was not.
func (s *Suites) List(conf *tls.Config, purpose, where string) []SuiteUse {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []SuiteUse
	seen := map[string]bool{}
	for _, use := range s.used {
		list = append(list, *use)
		seen[use.Protocol+use.Suite] = true
	}
	for _, offered := range tls.CipherSuites() {
		for _, version := range offered.SupportedVersions {
			name := tls.VersionName(version)
			if version >= conf.MinVersion && !seen[name+offered.Name] && (version == tls.VersionTLS13 || usable(offered)) {
				list = append(list, SuiteUse{Protocol: name, Suite: offered.Name})
			}
		}
	}
	for i := range list {
		list[i].Purpose, list[i].Where = purpose, where
	}
	slices.SortFunc(list, func(x, y SuiteUse) int {
		return strings.Compare(y.Protocol+" "+x.Suite+" "+x.Group, x.Protocol+" "+y.Suite+" "+y.Group)
	})
	return list
}

// usable says whether a suite of TLS 1.2 fits the ECDSA keys of this CA.
func usable(s *tls.CipherSuite) bool { return strings.Contains(s.Name, "_ECDSA_") }
