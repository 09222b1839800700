package network

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/payca/payca/ca"
	"github.com/payca/payca/ca/audit"
	"github.com/payca/payca/cmd/internal/config"
	"github.com/payca/payca/enroll"
	"github.com/payca/payca/enroll/mtls"
	"github.com/payca/payca/enroll/problem"
	"github.com/payca/payca/enroll/server"
	"github.com/payca/payca/policy"
)

// issuerSet is the issuing CAs as a request for other ones says them: SHA-256 of each certificate by name, and of the root.
type issuerSet struct {
	Root    string            `json:"root"`
	Issuers map[string]string `json:"issuers"`
}

func fingerprint(der []byte) string {
	sum := sha256.Sum256(der)
	return hex.EncodeToString(sum[:])
}

// issuerSet returns the issuing CAs that are loaded.
func (c *core) issuerSet() (issuerSet, error) {
	set := issuerSet{Root: fingerprint(c.root.Raw), Issuers: map[string]string{}}
	for _, name := range c.authority.Issuers() {
		is, err := c.authority.Issuer(name)
		if err != nil {
			return set, err
		}
		set.Issuers[name] = fingerprint(is.Raw)
	}
	return set, nil
}

// putInForce makes sure that policy and issuing CAs are those that were approved.
func (c *core) putInForce(ctx context.Context) error {
	issuers, err := c.issuerSet()
	if err != nil {
		return err
	}
	// The issuers first: who approves them is for the policy to say that was in force until now.
	if err := c.authority.PutInForce(ctx, ca.AskIssuers, issuers); err != nil {
		return err
	}
	return c.authority.PutInForce(ctx, ca.AskPolicy, c.config.Policy())
}

// found reads what is proposed, as putInForce would find it: the text of a configuration file, or certificates of issuing CAs.
func (c *core) found(kind string, files map[string][]byte) (any, error) {
	if kind == ca.AskPolicy {
		text, ok := files[config.FileName]
		if !ok || len(files) != 1 {
			return nil, fmt.Errorf("%d files, want %s alone", len(files), config.FileName)
		}
		conf, err := config.Parse(config.FileName, text)
		if err == nil && conf.Network != c.config.Network {
			err = fmt.Errorf("%s is of the network %q, want %q", config.FileName, conf.Network, c.config.Network)
		}
		return conf.Policy(), err
	}
	set, err := c.issuerSet()
	if err != nil {
		return nil, err
	}
	if len(files) == 0 {
		return nil, errors.New("no certificate, want one at least")
	}
	for name, text := range files {
		if !slices.Contains(policy.CAs(), name) {
			return nil, fmt.Errorf("issuing CA %.64q, want one of %s", name, strings.Join(policy.CAs(), ", "))
		}
		block, _ := pem.Decode(text)
		if block == nil {
			return nil, fmt.Errorf("certificate of the %s CA: want PEM", name)
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err == nil {
			err = cert.CheckSignatureFrom(c.root)
		}
		if err != nil {
			return nil, fmt.Errorf("certificate of the %s CA: %w", name, err)
		}
		set.Issuers[name] = fingerprint(cert.Raw)
	}
	return set, nil
}

// Fulfil implements server.Gate.
func (g gate) Fulfil(ctx context.Context, id, from string) (*server.Issued, error) {
	return g.issued(g.authority.Fulfil(ctx, id, from))
}

// Vote implements server.Gate: it takes votes on certificates alone, for what else is approved is carried out by the API.
func (g gate) Vote(ctx context.Context, id, object, from string) error {
	r, err := g.store.ApprovalRequest(ctx, id)
	if err == nil && r.Kind != ca.AskEnroll {
		err = fmt.Errorf("request %.70q for a certificate: %w", id, ca.ErrNotFound)
	}
	if err != nil {
		return err
	}
	_, _, err = g.authority.Vote(ctx, ca.VoteRequest{ID: id, Object: object, From: from})
	return err
}

// waiting is what the enrollment server says of a request that waits.
func waiting(err error) error {
	p, ok := errors.AsType[*ca.PendingError](err)
	if !ok {
		return err
	}
	return &server.PendingError{Pending: enroll.Pending{
		ID: p.Request.ID, Party: p.Request.Party, Wants: p.Rule.String(), Missing: p.Tally.Missing, NotAfter: p.Request.NotAfter,
	}}
}

// refused records that a caller of the enrollment server may not call what it called.
func (n *Network) refused(r *http.Request, err error) error {
	event := audit.Event{Time: n.now().UTC().Truncate(time.Second), Kind: audit.OperatorRefused, From: r.RemoteAddr, Reason: r.Method + " " + r.URL.Path + ": " + err.Error()}
	if peer, _, ok := mtls.PeerFrom(r.Context()); ok {
		event.Actor = peer.Identity.String()
	}
	if logErr := n.store.Append(r.Context(), event); logErr != nil {
		return logErr
	}
	return &problem.Error{Status: http.StatusForbidden, Name: "wrong-role", Detail: err.Error()}
}
