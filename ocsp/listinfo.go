package ocsp

import (
	"bytes"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

const (
	oidFreshestCRL = "\x55\x1d\x2e"
)

// A ListInfo is what a CRL says beside its entries.
type ListInfo struct {
	Issuer     []byte // Name of the issuer, DER
	Number     uint64 // CRLNumber
	ThisUpdate time.Time
	NextUpdate time.Time
	Delta      bool     // it says only what changed since the list Base
	Base       uint64   // BaseCRLNumber of a delta list
	URIs       []string // of the issuing distribution point; nil if there is none
	OnlyUser   bool     // it covers no certificates of CAs
	OnlyCA     bool     // it covers only those
	Freshest   []string // URIs of delta lists to this one
}

// Covers says whether the list decides, by itself, about a certificate of its issuer: it is no delta, and its
// distribution point is one of those of the certificate, byte for byte.
func (i *ListInfo) Covers(cert *x509.Certificate) error {
	switch {
	case i.Delta:
		return fmt.Errorf("CRL: a delta list to number %d, want a whole one", i.Base)
	case i.OnlyUser && cert.IsCA:
		return errors.New("CRL: a list of end entities' certificates, want one that covers CAs")
	case i.OnlyCA && !cert.IsCA:
		return errors.New("CRL: a list of CA certificates, want one that covers end entities")
	case i.URIs == nil:
		return nil
	}
	for _, uri := range i.URIs {
		if slices.Contains(cert.CRLDistributionPoints, uri) {
			return nil
		}
	}
	return fmt.Errorf("CRL: its distribution point is %q, want one of those of the certificate, %q", i.URIs, cert.CRLDistributionPoints)
}

// checkIssuer says whether the list is by that name, which may sign CRLs.
func (i *ListInfo) checkIssuer(issuer *x509.Certificate) error {
	switch {
	case !bytes.Equal(i.Issuer, issuer.RawSubject):
		return fmt.Errorf("CRL: want one issued by %q", issuer.Subject)
	case issuer.KeyUsage&x509.KeyUsageCRLSign == 0:
		return fmt.Errorf("CRL: issuer %q: want key usage CRL sign", issuer.Subject)
	}
	return nil
}

// parseExtensions reads crlExtensions.
func (i *ListInfo) parseExtensions(exts cryptobyte.String) error {
	seen := make([][]byte, 0, 8)
	for !exts.Empty() {
		e, ok := readExtension(&exts)
		if !ok {
			return errors.New("want an Extension")
		}
		if slices.ContainsFunc(seen, func(id []byte) bool { return bytes.Equal(id, e.id) }) {
			return fmt.Errorf("extension %x: stands twice, want it once", []byte(e.id))
		}
		seen = append(seen, e.id)
		switch string(e.id) {
		case oidCRLNumber:
			ok = e.value.ReadASN1Integer(&i.Number) && e.value.Empty()
		case oidDeltaCRL:
			i.Delta = true
			ok = e.value.ReadASN1Integer(&i.Base) && e.value.Empty()
		case oidIDP:
			if err := i.parseIDP(e.value); err != nil {
				return fmt.Errorf("issuing distribution point: %w", err)
			}
		case oidFreshestCRL:
			i.Freshest, ok = readPoints(e.value)
		default:
			ok = !e.critical
		}
		if !ok {
			return fmt.Errorf("extension %x: want one that is well formed and known if critical", []byte(e.id))
		}
	}
	if !slices.ContainsFunc(seen, func(id []byte) bool { return string(id) == oidCRLNumber }) {
		return errors.New("no CRL number, want one")
	}
	return nil
}

// parseIDP reads an IssuingDistributionPoint: RFC 5280 section 5.2.5.
func (i *ListInfo) parseIDP(value cryptobyte.String) error {
	var idp, name cryptobyte.String
	var named bool
	flags := [6]bool{}
	ok := value.ReadASN1(&idp, asn1.SEQUENCE) && value.Empty() && !idp.Empty() && idp.ReadOptionalASN1(&name, &named, explicit(0))
	for n := 1; ok && n <= 5; n++ {
		var flag cryptobyte.String
		ok = idp.ReadOptionalASN1(&flag, &flags[n], asn1.Tag(n).ContextSpecific()) &&
			(!flags[n] || n == 3 || string(flag) == "\xff")
	}
	switch {
	case !ok || !idp.Empty():
		return errors.New("malformed")
	case flags[3] || flags[4] || flags[5]:
		return errors.New("for some reasons, for several issuers or for attribute certificates, want all reasons and one issuer's public-key certificates")
	case flags[1] && flags[2]:
		return errors.New("only user and only CA certificates, want one of the two")
	}
	i.OnlyUser, i.OnlyCA = flags[1], flags[2]
	if !named {
		return nil
	}
	if i.URIs, ok = readFullName(name); !ok || len(i.URIs) == 0 {
		return errors.New("a name that is no URI, want a URI")
	}
	return nil
}

// readFullName reads the URIs of a DistributionPointName of the form fullName.
func readFullName(name cryptobyte.String) (uris []string, ok bool) {
	var names cryptobyte.String
	if !name.ReadASN1(&names, explicit(0)) || !name.Empty() {
		return nil, false
	}
	for !names.Empty() {
		var one cryptobyte.String
		var tag asn1.Tag
		if !names.ReadAnyASN1(&one, &tag) {
			return nil, false
		}
		if tag == asn1.Tag(6).ContextSpecific() {
			uris = append(uris, string(one))
		}
	}
	return uris, true
}

// readPoints reads the URIs of CRLDistributionPoints that hold no conditions: RFC 5280 section 4.2.1.13.
func readPoints(value cryptobyte.String) (uris []string, ok bool) {
	var points cryptobyte.String
	if !value.ReadASN1(&points, asn1.SEQUENCE) || !value.Empty() || points.Empty() {
		return nil, false
	}
	for !points.Empty() {
		var point, name cryptobyte.String
		var named bool
		if !points.ReadASN1(&point, asn1.SEQUENCE) || !point.ReadOptionalASN1(&name, &named, explicit(0)) {
			return nil, false
		}
		if !named || !point.Empty() {
			continue // of another issuer, or for some reasons
		}
		if list, ok := readFullName(name); ok {
			uris = append(uris, list...)
		}
	}
	return uris, true
}
