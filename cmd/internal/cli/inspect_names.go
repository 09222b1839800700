package cli

import (
	"crypto"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"strconv"
	"strings"

	"github.com/payca/payca/policy"
)

// inspectKey says what kind of key it is, and nothing of the key.
func inspectKey(kind string, der []byte) (*inspection, error) {
	item := &inspection{Kind: "private key"}
	if kind == "ENCRYPTED PRIVATE KEY" {
		item.add("encrypted", "yes")
		return item, nil
	}
	parsed, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		if parsed, err = x509.ParseECPrivateKey(der); err != nil {
			if parsed, err = x509.ParsePKCS1PrivateKey(der); err != nil {
				return nil, errUnknownForm
			}
		}
	}
	key, ok := parsed.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("a key of type %T, want one that signs", parsed)
	}
	item.add("encrypted", "no")
	item.add("key", "%s", policy.DescribeKey(key.Public()))
	return item, nil
}

// name renders a Name in DER.
func name(der []byte) string {
	var rdns pkix.RDNSequence
	if _, err := asn1.Unmarshal(der, &rdns); err != nil {
		return fmt.Sprintf("%x", der)
	}
	return rdns.String()
}

// keyUsages names the bits as RFC 5280 section 4.2.1.3 does.
func keyUsages(usage x509.KeyUsage) string {
	names := []string{
		"digitalSignature", "contentCommitment", "keyEncipherment", "dataEncipherment", "keyAgreement",
		"keyCertSign", "cRLSign", "encipherOnly", "decipherOnly",
	}
	var set []string
	for i, text := range names {
		if usage&(1<<i) != 0 {
			set = append(set, text)
		}
	}
	return strings.Join(set, ", ")
}

func extKeyUsage(usage x509.ExtKeyUsage) string {
	names := map[x509.ExtKeyUsage]string{
		x509.ExtKeyUsageAny: "any", x509.ExtKeyUsageServerAuth: "serverAuth", x509.ExtKeyUsageClientAuth: "clientAuth",
		x509.ExtKeyUsageCodeSigning: "codeSigning", x509.ExtKeyUsageEmailProtection: "emailProtection",
		x509.ExtKeyUsageTimeStamping: "timeStamping", x509.ExtKeyUsageOCSPSigning: "OCSPSigning",
	}
	if text, ok := names[usage]; ok {
		return text
	}
	return "usage " + strconv.Itoa(int(usage))
}

func quoteAll(texts []string) []string {
	quoted := make([]string, len(texts))
	for i, text := range texts {
		quoted[i] = strconv.Quote(text)
	}
	return quoted
}
