package lint

import (
	"crypto/x509"
	"errors"
	"fmt"
	"strings"

	zx509 "github.com/zmap/zcrypto/x509"
	"github.com/zmap/zlint/v3/lint"

	"github.com/payca/payca/ca"
	"github.com/payca/payca/policy"
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

// A Config is what a certificate is compared with. Every member is required.
type Config struct {
	Network   string            // name of the network: pay.example
	StatusURL string            // base of AIA and CDP: http://localhost:8080
	Issuers   []ca.Issuer       // the issuing CAs; their keys are not used
	Profiles  []*policy.Profile // what may be issued
}

// New returns a linter of all lints that [Chosen] and [Own] list. The error says what is missing, or that zlint does not
// know a lint of the list, so that none that was renamed is lost unseen.
func New(cfg Config) (ca.Linter, error) {
	if err := policy.CheckNetworkName(cfg.Network); err != nil || cfg.StatusURL == "" || len(cfg.Issuers) == 0 || len(cfg.Profiles) == 0 {
		return nil, errors.Join(errors.New("lint: want Network, StatusURL, Issuers and Profiles"), err)
	}
	chosen, err := choose(lint.GlobalRegistry().CertificateLints())
	if err != nil {
		return nil, err
	}
	configuration, own, granted := lint.NewEmptyConfig(), ownLints(), grantsOf(cfg.Profiles)
	return func(c *x509.Certificate) error {
		fs, err := runZlint(c.Raw, chosen, configuration)
		if err != nil {
			return err
		}
		s := subjectOf(c, cfg, granted)
		for _, l := range own {
			if detail := l.find(s); detail != "" {
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
func runZlint(der []byte, chosen []prepared, configuration lint.Configuration) (Findings, error) {
	c, err := zx509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("lint: reading the certificate for zlint: %w", err)
	}
	var fs Findings
	for _, l := range chosen {
		result := l.judge(c, configuration)
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
