package lint

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"slices"
	"strings"

	"github.com/payca/payca/policy"
)

// A grant is what the certificates of one profile have.
type grant struct {
	name       string
	usage      x509.KeyUsage
	extended   []x509.ExtKeyUsage // sorted
	unknown    []string           // of extended key usages, sorted
	policies   []string           // sorted
	extensions []string           // that a request may bring along
	server     bool
	mustStaple bool
}

// grantsOf sorts the profiles of leaves by role; those of OCSP signers have none.
func grantsOf(profiles []*policy.Profile) map[policy.Role][]grant {
	granted := map[policy.Role][]grant{}
	for _, p := range profiles {
		g := grant{name: p.Name()}
		var unknown []asn1.ObjectIdentifier
		if g.usage, g.extended, unknown = p.Usages(); g.usage&x509.KeyUsageCertSign != 0 {
			continue // of an issuing CA, which is no leaf
		}
		slices.Sort(g.extended)
		g.server = slices.Contains(g.extended, x509.ExtKeyUsageServerAuth)
		for _, id := range unknown {
			g.unknown = append(g.unknown, id.String())
		}
		slices.Sort(g.unknown)
		cfg := p.Config()
		g.policies, g.extensions, g.mustStaple = cfg.Policies, cfg.Extensions, cfg.MustStaple
		slices.Sort(g.policies)
		granted[p.Role()] = append(granted[p.Role()], g)
	}
	return granted
}

// fits says whether a certificate has the usages of the grant.
func (g grant) fits(s *subject) bool {
	extended := slices.Sorted(slices.Values(s.ExtKeyUsage))
	return g.usage == s.KeyUsage && slices.Equal(g.extended, extended) && slices.Equal(g.unknown, texts(s.UnknownExtKeyUsage))
}

// texts writes object identifiers, sorted.
func texts[T interface{ String() string }](ids []T) []string {
	var list []string
	for _, id := range ids {
		list = append(list, id.String())
	}
	slices.Sort(list)
	return list
}

// roleUsage wants the usages of one profile of the role.
func roleUsage(s *subject) string {
	var want []string
	for _, g := range s.profiles {
		if g.fits(s) {
			return ""
		}
		want = append(want, g.name)
	}
	who := "a " + string(s.identity.Role)
	switch {
	case s.responder:
		who = "an OCSP signer"
	case s.identity.Role == "":
		return "" // payca_uri_single says so
	}
	return fmt.Sprintf("key usage %#x, extended key usages %v %v of %s, want those of a profile that it may have: %s",
		int(s.KeyUsage), s.ExtKeyUsage, texts(s.UnknownExtKeyUsage), who, strings.Join(want, ", "))
}

// written lists the extensions that package ca writes, and whether each is critical. A subjectAltName
// is not critical beside a subject (RFC 5280 section 4.2.1.6).
var written = map[string]bool{
	"2.5.29.15": true, "2.5.29.19": true, // keyUsage, basicConstraints
	"2.5.29.14": false, "2.5.29.35": false, "2.5.29.37": false, "2.5.29.17": false, // key ids, extKeyUsage, subjectAltName
	"2.5.29.31": false, "1.3.6.1.5.5.7.1.1": false, oidNoCheck.String(): false, // CDP, AIA
	"2.5.29.32": false, oidTLSFeature.String(): false, // certificatePolicies, TLS feature
}

// knownExtensions wants the others to be granted by a profile with the usages of the certificate.
func knownExtensions(s *subject) string {
	for i, e := range s.Extensions {
		if slices.ContainsFunc(s.Extensions[:i], func(other pkix.Extension) bool { return other.Id.Equal(e.Id) }) {
			return "extension " + e.Id.String() + " twice"
		}
		id := e.Id.String()
		want, known := written[id]
		switch {
		case !known && !s.granted(id):
			return "extension " + id + ", which payca does not write and no profile grants"
		case want != e.Critical:
			return fmt.Sprintf("extension %s with critical %t, want %t", id, e.Critical, want)
		}
	}
	return ""
}

// granted says whether a request may have brought an extension along.
func (s *subject) granted(id string) bool {
	return slices.ContainsFunc(s.profiles, func(g grant) bool { return slices.Contains(g.extensions, id) && g.fits(s) })
}

// knownPolicies wants exactly the policies of a profile with the usages of the certificate.
func knownPolicies(s *subject) string {
	got := texts(s.Policies)
	if len(got) == 0 && len(s.profiles) == 0 || !slices.ContainsFunc(s.profiles, func(g grant) bool { return g.fits(s) }) {
		return "" // payca_role_eku says so
	}
	if slices.ContainsFunc(s.profiles, func(g grant) bool { return g.fits(s) && slices.Equal(g.policies, got) }) {
		return ""
	}
	return fmt.Sprintf("certificate policies %q, want those of a profile of the role", got)
}

// oidTLSFeature is id-pe-tlsfeature (RFC 7633).
var oidTLSFeature = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 1, 24}

// stapling wants the demand to be stapled exactly where a profile of the role has it, for status_request alone.
func stapling(s *subject) string {
	demands := false
	for _, e := range s.Extensions {
		if e.Id.Equal(oidTLSFeature) {
			if demands = true; string(e.Value) != "\x30\x03\x02\x01\x05" {
				return fmt.Sprintf("TLS feature %x, want status_request alone", e.Value)
			}
		}
	}
	if !slices.ContainsFunc(s.profiles, func(g grant) bool { return g.fits(s) }) {
		return "" // payca_role_eku says so
	}
	if slices.ContainsFunc(s.profiles, func(g grant) bool { return g.fits(s) && g.mustStaple == demands }) {
		return ""
	}
	return fmt.Sprintf("a demand to be stapled: %t, want what must_staple of a profile of the role says", demands)
}
