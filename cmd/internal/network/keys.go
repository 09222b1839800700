package network

import (
	"crypto/x509"

	"github.com/payca/payca/cmd/internal/api"
	"github.com/payca/payca/policy"
)

const sealed = "encrypted file, PBKDF2 and AES-256"

// keyUses lists the keys that the CA has, for the inventory of PCI DSS 4.0.1 requirement 4.2.1.1.
func (n *Network) keyUses() []api.KeyUse {
	keys := []api.KeyUse{api.CertificateKey(n.root, "trust anchor of the network; certifies the issuing CAs", "CA, or wherever the operator keeps it", sealed)}
	for _, is := range n.status.Issuers() {
		keys = append(keys,
			api.CertificateKey(is.Certificate, "issues the certificates of the "+is.Name+" CA and signs its CRLs", "CA", sealed),
			api.CertificateKey(is.OCSPSigner, "signs OCSP answers for the "+is.Name+" CA", "CA", "memory only"))
	}
	keys = append(keys, api.CertificateKey(n.certificate.Load().Leaf, "the CA's own TLS server", "CA", "memory only"))
	if spki, err := x509.MarshalPKIXPublicKey(n.tokenKey.Public()); err == nil {
		keys = append(keys, api.NamedKey("enrollment tokens", policy.DescribeKey(n.tokenKey.Public()), "signs one-time enrollment tokens", "CA", sealed, spki))
	}
	return append(keys, api.NamedKey(logOrigin(n.config.Network), "Ed25519", "signs the heads of the audit log", "CA", sealed, []byte(n.logKey)))
}

// suiteUses lists protocols and suites, for the inventory of requirement 12.3.3.
func (n *Network) suiteUses() []api.SuiteUse {
	return n.suites.List(n.tlsConfig(), "enrollment, renewal and operation of the CA", n.config.Listen.HTTPS)
}
