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

// A Config is what a certificate is compared with. Every member but Memory is required.
type Config struct {
	Network   string            // name of the network: pay.example
	StatusURL string            // base of AIA and CDP: http://localhost:8080
	Issuers   []ca.Issuer       // the issuing CAs; their keys are not used
	Profiles  []*policy.Profile // what may be issued
	// Memory is of how many certificates that passed zlint its verdict is remembered at most, for others of the day to which it
	// can have nothing more to say, as the package comment has it; 0 for 65,536, -1 for none.
	Memory int
}

// defaultMemory takes a few megabytes.
const defaultMemory = 1 << 16

// New returns a linter of all lints that [Chosen] and [Own] list. The error says what is missing, or that zlint does not
// know a lint of the list, so that none that was renamed is lost unseen.
func New(cfg Config) (ca.Linter, error) {
	if err := policy.CheckNetworkName(cfg.Network); err != nil || cfg.StatusURL == "" || len(cfg.Issuers) == 0 || len(cfg.Profiles) == 0 {
		return nil, errors.Join(errors.New("lint: want Network, StatusURL, Issuers and Profiles"), err)
	}
	if cfg.Memory == 0 {
		cfg.Memory = defaultMemory
	}
	z, err := newZlint(cfg.Memory)
	if err != nil {
		return nil, err
	}
	own, granted := ownLints(), grantsOf(cfg.Profiles)
	return func(c *x509.Certificate) error {
		fs, err := z.judge(c)
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

// zlint is the lints of that library that were chosen.
type zlint struct {
	chosen        []prepared
	configuration lint.Configuration
	memory        memory
}

// newZlint makes the lints with a memory of so many passes.
func newZlint(most int) (*zlint, error) {
	chosen, err := choose(lint.GlobalRegistry().CertificateLints())
	return &zlint{chosen, lint.NewEmptyConfig(), memory{most: most, passed: map[likeness]struct{}{}}}, err
}

// judge asks zlint, unless it had nothing against one that c is like.
func (z *zlint) judge(c *x509.Certificate) (Findings, error) {
	like, known := likenessOf(c)
	if known && z.memory.knows(like) {
		return nil, nil
	}
	fs, err := z.run(c.Raw)
	if known && err == nil && fs == nil {
		z.memory.learn(like)
	}
	return fs, err
}

// run collects whatever is not a pass.
func (z *zlint) run(der []byte) (Findings, error) {
	c, err := zx509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("lint: reading the certificate for zlint: %w", err)
	}
	var fs Findings
	for _, l := range z.chosen {
		result := l.judge(c, z.configuration)
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
