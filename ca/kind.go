package ca

import (
	"bytes"
	asn1std "encoding/asn1"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

// The kinds of certificate, by what their key may be used for.
const (
	KindServer     = "server"      // TLS servers; mostly clients too
	KindClient     = "client"      // TLS clients alone
	KindEncryption = "encryption"  // key agreement, no TLS
	KindOCSPSigner = "ocsp-signer" // answers about status
	KindOther      = "other"       // none of these
)

// Kinds lists the kinds of certificate.
func Kinds() []string {
	return []string{KindServer, KindClient, KindEncryption, KindOCSPSigner, KindOther}
}

// The extended key usages of RFC 5280 section 4.2.1.12, without tag and length.
var (
	usageServer = []byte{0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x01}
	usageClient = []byte{0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x02}
	usageOCSP   = []byte{0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x09}
)

// CertificateKind says of which kind a certificate is, by its key usage and extended key usage.
func CertificateKind(der []byte) string {
	agrees, extended := false, false
	var server, client, ocsp bool
	for id, value := range extensionsOf(der) {
		switch {
		case bytes.Equal(id, []byte{0x55, 0x1d, 0x0f}): // keyUsage; keyAgreement is bit 4
			var bits asn1std.BitString
			agrees = value.ReadASN1BitString(&bits) && bits.At(4) == 1
		case bytes.Equal(id, []byte{0x55, 0x1d, 0x25}):
			extended = true
			var usages, usage cryptobyte.String
			for ok := value.ReadASN1(&usages, asn1.SEQUENCE); ok && usages.ReadASN1(&usage, asn1.OBJECT_IDENTIFIER); {
				server = server || bytes.Equal(usage, usageServer)
				client = client || bytes.Equal(usage, usageClient)
				ocsp = ocsp || bytes.Equal(usage, usageOCSP)
			}
		}
	}
	switch {
	case ocsp:
		return KindOCSPSigner
	case server:
		return KindServer
	case client:
		return KindClient
	case agrees && !extended:
		return KindEncryption
	}
	return KindOther
}
