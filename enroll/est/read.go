package est

import (
	"bytes"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"io"
	"net/http"
	"net/netip"
	"slices"
	"unicode"

	"github.com/payca/payca/enroll/problem"
	"github.com/payca/payca/policy"
)

// readRequest reads a PKCS #10 request: base64 with or without white space, PEM, or DER. Media type and transfer encoding that the client
// names are ignored, for few name the right ones. What is in the request is for the gate to say.
func readRequest(r *http.Request) ([]byte, error) {
	body, err := io.ReadAll(r.Body) // as much as serve has let in
	if err != nil {
		return nil, err
	}
	der, ok := decodeRequest(body)
	if !ok {
		return nil, problem.Errorf(http.StatusBadRequest, "bad-request", "the body of %d octets is no PKCS #10 request, want one in base64, PEM or DER", len(body))
	}
	return der, nil
}

func decodeRequest(body []byte) ([]byte, bool) {
	if len(body) > 1 && body[0] == 0x30 && body[1] >= 0x80 { // a SEQUENCE; no base64 has such an octet
		return body, true
	}
	if bytes.HasPrefix(bytes.TrimSpace(body), []byte("-----BEGIN")) {
		block, _ := pem.Decode(body)
		if block == nil || block.Type != "CERTIFICATE REQUEST" && block.Type != "NEW CERTIFICATE REQUEST" {
			return nil, false
		}
		return block.Bytes, true
	}
	text := bytes.Map(func(r rune) rune {
		if unicode.IsSpace(r) {
			return -1
		}
		return r
	}, body)
	der := make([]byte, base64.StdEncoding.DecodedLen(len(text)))
	n, err := base64.StdEncoding.Decode(der, text)
	return der[:n], err == nil && n > 0
}

// sameAlternatives compares alternative names, in whatever order.
func sameAlternatives(csr *policy.CSR, old *x509.Certificate) bool {
	var addresses []netip.Addr
	for _, ip := range old.IPAddresses {
		if addr, ok := netip.AddrFromSlice(ip); ok {
			addresses = append(addresses, addr)
		}
	}
	texts := func(list []string) []string { return slices.Sorted(slices.Values(list)) }
	strings := func(n int, at func(i int) string) (list []string) {
		for i := range n {
			list = append(list, at(i))
		}
		return texts(list)
	}
	return len(csr.Emails) == 0 && slices.Equal(texts(csr.DNSNames), texts(old.DNSNames)) &&
		slices.Equal(strings(len(csr.URIs), func(i int) string { return csr.URIs[i].String() }), strings(len(old.URIs), func(i int) string { return old.URIs[i].String() })) &&
		slices.Equal(strings(len(csr.Addresses), func(i int) string { return csr.Addresses[i].Unmap().String() }),
			strings(len(addresses), func(i int) string { return addresses[i].Unmap().String() }))
}
