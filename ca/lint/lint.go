package lint

import (
	"crypto/x509"
	"errors"
	"fmt"
	"strings"

	zx509 "github.com/zmap/zcrypto/x509"
	"github.com/zmap/zlint/v3/lint"
	_ "github.com/zmap/zlint/v3/lints/community" // registers its lints
	_ "github.com/zmap/zlint/v3/lints/rfc"       // registers its lints

	"github.com/payca/payca/ca"
)

// Findings is everything that the lints have against one certificate. The rule of each is the name of the lint:
// e_serial_number_longer_than_20_octets, payca_uri_single.
type Findings []ca.Fault

// Faults returns the findings, for ca.FaultsOf.
func (fs Findings) Faults() []ca.Fault { return fs }

// Error names every lint, with what it found.
func (fs Findings) Error() string {
	parts := make([]string, len(fs))
	for i, f := range fs {
		parts[i] = f.Rule + ": " + f.Detail
	}
	return "lint: " + strings.Join(parts, "; ")
}

// Excluded returns the lints of zlint that are not asked, and why.
func Excluded() map[string]string {
	return map[string]string{
		"n_san_iana_pub_suffix_empty": "the network's names need not be under a public suffix",
	}
}

// New returns a linter of all lints that fit. The error says that zlint does not know a lint that
// [Excluded] names, so that a renamed lint does not come back unseen.
func New() (ca.Linter, error) {
	registered := lint.GlobalRegistry().CertificateLints()
	excluded := Excluded()
	for name := range excluded {
		if registered.ByName(name) == nil {
			return nil, fmt.Errorf("excluding lint %q: zlint has none of that name", name)
		}
	}
	var chosen []*lint.CertificateLint
	for _, source := range []lint.LintSource{
		lint.RFC3279, lint.RFC5280, lint.RFC5480, lint.RFC5891, lint.RFC8813, lint.Community,
	} {
		for _, l := range registered.BySource(source) {
			if _, out := excluded[l.Name]; !out {
				chosen = append(chosen, l)
			}
		}
	}
	if len(chosen) == 0 {
		return nil, errors.New("zlint registered no lints")
	}
	configuration, own := lint.NewEmptyConfig(), ownLints()
	return func(der []byte) error {
		fs, err := runZlint(der, chosen, configuration)
		if err != nil {
			return err
		}
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return fmt.Errorf("lint: reading the certificate: %w", err)
		}
		for _, l := range own {
			if detail := l.find(c); detail != "" {
				fs = append(fs, ca.Fault{Rule: l.name, Detail: detail})
			}
		}
		if fs != nil {
			return fs
		}
		return nil
	}, nil
}

// runZlint collects whatever is not a pass.
func runZlint(der []byte, chosen []*lint.CertificateLint, configuration lint.Configuration) (Findings, error) {
	c, err := zx509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("lint: reading the certificate for zlint: %w", err)
	}
	var fs Findings
	for _, l := range chosen {
		result := l.Execute(c, configuration)
		if result == nil || result.Status <= lint.Pass {
			continue
		}
		detail := result.Details
		if detail == "" {
			detail = l.Description
		}
		fs = append(fs, ca.Fault{Rule: l.Name, Detail: detail})
	}
	return fs, nil
}
