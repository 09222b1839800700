package lint

import (
	"crypto/x509"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/payca/payca/policy"
)

func roleIssuer(s *subject) string {
	if s.issuer == "" {
		return fmt.Sprintf("issuer %q, want an issuing CA of %s", s.Issuer, s.cfg.Network)
	}
	if want := s.identity.Role.CA(); want != "" && want != s.issuer {
		return fmt.Sprintf("a %s from the %s CA, want the %s CA", s.identity.Role, s.issuer, want)
	}
	return ""
}

// roleSubject compares the mirrors in the subject with what decides.
func roleSubject(s *subject) string {
	n := s.Subject
	one := func(values []string, want string) bool { return len(values) == 1 && values[0] == want }
	switch {
	case len(n.Organization) != 1 || n.CommonName == "":
		return fmt.Sprintf("subject %q, want one O and a CN", n)
	case s.responder:
		if len(n.Names) != 2 || n.Organization[0] != s.cfg.Network || n.CommonName != s.issuer+" OCSP signer" {
			return fmt.Sprintf("subject %q, want O=%s, CN=%s OCSP signer", n, s.cfg.Network, s.issuer)
		}
	case s.identity == (policy.Identity{}): // payca_uri_single says so
	case len(n.Names) != 3 || !one(n.OrganizationalUnit, string(s.identity.Role)) || n.CommonName != s.identity.Party:
		return fmt.Sprintf("subject %q, want O, OU=%s, CN=%s, as the URI says", n, s.identity.Role, s.identity.Party)
	}
	return ""
}

func names(s *subject) string {
	if len(s.EmailAddresses) > 0 {
		return fmt.Sprintf("e-mail name %q, want none", s.EmailAddresses[0])
	}
	if n := len(s.DNSNames) + len(s.IPAddresses); n > 0 && !slices.Contains(s.ExtKeyUsage, x509.ExtKeyUsageServerAuth) {
		return fmt.Sprintf("%d DNS names and addresses without serverAuth, want none", n)
	}
	for _, name := range s.DNSNames {
		if err := policy.CheckDNSName(name); err != nil {
			return err.Error()
		}
		if s.identity.Role != policy.Service && (name == s.cfg.Network || strings.HasSuffix(name, "."+s.cfg.Network)) {
			return fmt.Sprintf("DNS name %q below the network's own domain, which only the CA's servers have", name)
		}
	}
	for _, ip := range s.IPAddresses {
		if len(ip) == 16 && ip.To4() != nil {
			return fmt.Sprintf("IPv4 address %s written as IPv6", ip)
		}
	}
	return ""
}

func authorityInfo(s *subject) string {
	if s.responder {
		if n := len(s.OCSPServer) + len(s.IssuingCertificateURL); n > 0 {
			return fmt.Sprintf("%d URLs beside id-pkix-ocsp-nocheck, want none", n)
		}
		return ""
	}
	for _, u := range []struct {
		what, want string
		got        []string
	}{
		{"OCSP", s.cfg.StatusURL + "/ocsp/" + s.issuer, s.OCSPServer},
		{"issuer", s.cfg.StatusURL + "/ca/" + s.issuer + ".crt", s.IssuingCertificateURL},
	} {
		if len(u.got) != 1 || u.got[0] != u.want {
			return fmt.Sprintf("%s URLs %q, want exactly %s", u.what, u.got, u.want)
		}
	}
	return ""
}

// distributionPoint wants the list of the issuing CA, or one shard of it.
func distributionPoint(s *subject) string {
	if s.responder {
		if n := len(s.CRLDistributionPoints); n > 0 {
			return fmt.Sprintf("%d CRL URLs beside id-pkix-ocsp-nocheck, want none", n)
		}
		return ""
	}
	base := s.cfg.StatusURL + "/crl/" + s.issuer
	if len(s.CRLDistributionPoints) == 1 {
		rest, ours := strings.CutPrefix(s.CRLDistributionPoints[0], base)
		shard, crl := strings.CutSuffix(rest, ".crl")
		if number, _ := strings.CutPrefix(shard, "/"); ours && crl && (shard == "" || shard == "/"+number && isNumber(number)) {
			return ""
		}
	}
	return fmt.Sprintf("CRL URLs %q, want exactly %s.crl, or one shard %s/N.crl", s.CRLDistributionPoints, base, base)
}

// isNumber says whether text is the number of a shard, as package ca writes it.
func isNumber(text string) bool {
	n, err := strconv.Atoi(text)
	return err == nil && n > 0 && strconv.Itoa(n) == text
}
