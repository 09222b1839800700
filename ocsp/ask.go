package ocsp

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
)

// AskOCSP asks the first responder that leaf names, now, whatever the checker
// knows already. A revoked or unknown certificate is a verdict, not an error.
func (c *Checker) AskOCSP(ctx context.Context, leaf, issuer *x509.Certificate) (Verdict, error) {
	if len(leaf.OCSPServer) == 0 {
		return Verdict{}, errors.New("the certificate names no OCSP responder")
	}
	v, err := c.askOCSP(ctx, leaf.OCSPServer[0], leaf, issuer)
	if err != nil {
		return v, fmt.Errorf("OCSP at %s: %w", leaf.OCSPServer[0], err)
	}
	return v, nil
}

// AskCRL looks leaf up in the first CRL that it names. A CRL that the checker has
// is used until it ends. A revoked certificate is a verdict, not an error.
func (c *Checker) AskCRL(ctx context.Context, leaf, issuer *x509.Certificate) (Verdict, error) {
	if len(leaf.CRLDistributionPoints) == 0 {
		return Verdict{}, errors.New("the certificate names no CRL")
	}
	v, err := c.askCRL(ctx, leaf.CRLDistributionPoints[0], leaf, issuer)
	if err != nil {
		return v, fmt.Errorf("CRL at %s: %w", leaf.CRLDistributionPoints[0], err)
	}
	return v, nil
}

// reasonName is the name of a reason code in RFC 5280 section 5.3.1.
func reasonName(reason int) string {
	names := [...]string{
		"unspecified", "keyCompromise", "cACompromise", "affiliationChanged", "superseded", "cessationOfOperation",
		"certificateHold", 8: "removeFromCRL", 9: "privilegeWithdrawn", 10: "aACompromise",
	}
	if reason < 0 || reason >= len(names) || names[reason] == "" {
		return fmt.Sprintf("reason %d", reason)
	}
	return names[reason]
}
