package ocsp

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"time"
)

// AskOCSP asks the first responder that leaf names, now, whatever the checker
// knows already. A revoked or unknown certificate is a verdict, not an error.
func (c *Checker) AskOCSP(ctx context.Context, leaf, issuer *x509.Certificate) (Verdict, error) {
	if len(leaf.OCSPServer) == 0 {
		return Verdict{}, errNoResponder
	}
	v, _, err := c.askOCSP(ctx, leaf.OCSPServer[0], leaf, issuer)
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

// ask asks OCSP responders, then CRLs. answer is the OCSP response, nil if a CRL decided.
func (c *knowledge) ask(ctx context.Context, leaf, issuer *x509.Certificate) (v Verdict, answer []byte, err error) {
	var tried []error
	if v, answer, err = c.askResponders(ctx, firstTwo(leaf.OCSPServer), leaf, issuer); err == nil {
		return v, answer, v.refusal(leaf)
	}
	tried = append(tried, err)
	for _, url := range firstTwo(leaf.CRLDistributionPoints) {
		v, err := c.askCRL(ctx, url, leaf, issuer)
		if err == nil {
			return v, nil, v.refusal(leaf)
		}
		tried = append(tried, fmt.Errorf("CRL at %s: %w", url, err))
	}
	err = errors.Join(tried...)
	if len(leaf.OCSPServer)+len(leaf.CRLDistributionPoints) == 0 {
		err = nil
	}
	return nothing(c.cfg.Now()), nil, &UnknownError{Serial: leaf.SerialNumber.Text(16), Err: err}
}

// firstTwo bounds how many places one certificate makes us try.
func firstTwo(urls []string) []string { return urls[:min(2, len(urls))] }

// askResponders asks the first of the responders, and the next when that fails or lets wait for a quarter of
// the Timeout. The first answer that can be believed decides.
func (c *knowledge) askResponders(ctx context.Context, urls []string, leaf, issuer *x509.Certificate) (Verdict, []byte, error) {
	type reply struct {
		verdict Verdict
		answer  []byte
		err     error
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // who is slower need not go on
	replies := make(chan reply, len(urls))
	next := 0
	send := func() {
		url := urls[next]
		next++
		go func() {
			v, answer, err := c.askOCSP(ctx, url, leaf, issuer)
			if err != nil {
				err = fmt.Errorf("OCSP at %s: %w", url, err)
			}
			replies <- reply{v, answer, err}
		}()
	}
	err := errNoResponder
	patience := time.NewTimer(c.cfg.Timeout / 4)
	defer patience.Stop()
	for got := 0; got < len(urls); {
		if next == got {
			send()
		}
		select {
		case r := <-replies:
			if r.err == nil {
				return r.verdict, r.answer, nil
			}
			if got++; got == 1 {
				err = r.err
			} else {
				err = errors.Join(err, r.err)
			}
		case <-patience.C:
			if next < len(urls) {
				send()
			}
		}
	}
	return Verdict{}, nil, err
}

var errNoResponder = errors.New("the certificate names no OCSP responder")

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
