package demo

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"math/big"
	"net/http/httptrace"
	"net/url"
	"time"

	"github.com/payca/payca/cmd/internal/api"
	"github.com/payca/payca/cmd/internal/network"
	"github.com/payca/payca/policy"
)

// open starts the agents: the gateway listens to merchants, the bank to gateways.
func (d *demo) open(context.Context) error {
	d.agents = map[string]*talker{}
	for _, party := range []policy.Party{d.cast.merchant, d.cast.gateway, d.cast.bank} {
		a, err := newTalker(party, d.identity(party.ID), d.cfg.Logger)
		if err != nil {
			return err
		}
		d.agents[party.ID] = a
	}
	if err := d.gateway().listen(policy.Merchant, d.cfg.Logger); err != nil {
		return err
	}
	return d.bank().listen(policy.Gateway, d.cfg.Logger)
}

func (d *demo) merchant() *talker { return d.agents[d.cast.merchant.ID] }
func (d *demo) gateway() *talker  { return d.agents[d.cast.gateway.ID] }
func (d *demo) bank() *talker     { return d.agents[d.cast.bank.ID] }

// converse sends a message each way between merchant and gateway and between gateway and bank.
func (d *demo) converse(ctx context.Context) error {
	var err error
	if d.line, err = d.talk(ctx, d.merchant(), d.gateway()); err != nil {
		return err
	}
	other, err := d.talk(ctx, d.gateway(), d.bank())
	if err != nil {
		return err
	}
	other.transport.CloseIdleConnections()
	return nil
}

// talk opens a line, sends one message, and shows whom each side saw.
func (d *demo) talk(ctx context.Context, from, to *talker) (*line, error) {
	l, err := from.dial(to, nil)
	if err != nil {
		return nil, err
	}
	answer, _, err := l.send(ctx, from.party.Name+" calls")
	if err != nil {
		return nil, fmt.Errorf("%s calling %s: %w", from.party.ID, to.party.ID, err)
	}
	if answer.Saw == nil || answer.Saw.Party != from.party.ID || l.saw.Party != to.party.ID {
		return nil, fmt.Errorf("%s calling %s: the sides saw %v and %v", from.party.ID, to.party.ID, answer.Saw, l.saw)
	}
	data := map[string]any{"client": from.party.ID, "server": to.party.ID, "server_saw": answer.Saw, "client_saw": l.saw, "answer": answer.Text}
	d.step("message", data, "%s -> %s: %q; %s saw %s; %s saw %s", from.party.ID, to.party.ID, answer.Text, to.party.ID, answer.Saw, from.party.ID, l.saw)
	return l, nil
}

// attack tries what must not work: a role that may not call, and a certificate
// made with a copy of the merchant CA's key.
func (d *demo) attack(ctx context.Context) error {
	if err := d.refused(ctx, "wrong-role", fmt.Sprintf("%s (merchant) calls %s, which takes gateways only", d.cast.merchant.ID, d.cast.bank.ID), nil); err != nil {
		return err
	}
	forged, err := d.forge(ctx)
	if err != nil {
		return fmt.Errorf("forging a gateway certificate: %w", err)
	}
	return d.refused(ctx, "mis-issued", fmt.Sprintf("a copy of the merchant CA's key certifies a gateway, which calls %s", d.cast.bank.ID), forged)
}

// refused has the merchant call the bank and wants it to fail.
func (d *demo) refused(ctx context.Context, name, what string, certificate *tls.Certificate) error {
	l, err := d.merchant().dial(d.bank(), certificate)
	if err != nil {
		return err
	}
	defer l.transport.CloseIdleConnections()
	_, _, err = l.send(ctx, "let me in")
	if err == nil {
		return fmt.Errorf("%s: it was answered, want a refusal", what)
	}
	why := d.bank().refusal(err)
	d.step(name, map[string]any{"refused": true, "why": why}, "%s: refused, %s", what, why)
	return nil
}

// forge makes what the thief of the merchant CA's key would: a certificate
// that names a gateway, well formed in everything else.
func (d *demo) forge(ctx context.Context) (*tls.Certificate, error) {
	issuer, err := network.OpenIssuer(ctx, d.dir, policy.MerchantCA)
	if err != nil {
		return nil, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 128))
	if err != nil {
		return nil, err
	}
	victim := policy.Identity{Network: d.cfg.Network.Name, Role: policy.Gateway, Party: d.cast.gateway.ID}
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: serial, NotBefore: time.Now().Add(-time.Minute), NotAfter: time.Now().Add(24 * time.Hour),
		URIs: []*url.URL{victim.URI()}, KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}, issuer.Certificate, key.Public(), issuer.Signer)
	if err != nil {
		return nil, err
	}
	return &tls.Certificate{Certificate: [][]byte{der, issuer.Certificate.Raw}, PrivateKey: key}, nil
}

// revoke revokes the merchant and shows that neither its open connection nor a new one works.
func (d *demo) revoke(ctx context.Context) error {
	if _, reused, err := d.line.send(ctx, "still here"); err != nil || !reused {
		return fmt.Errorf("keeping the merchant's connection open: reused %v: %w", reused, err)
	}
	id := d.cast.merchant.ID
	begun := time.Now()
	answer, err := d.operator.Revoke(ctx, api.RevocationRequest{Selection: api.Selection{Party: id, All: true}, Reason: "keyCompromise"})
	if err != nil {
		return err
	}
	if len(answer.Revoked) == 0 {
		return errors.New("revoking the merchant: no certificate was revoked")
	}
	d.step("revoke", map[string]any{"party": id, "revoked": answer.Revoked, "crls": answer.CRLs},
		"revoked    %s for keyCompromise in %s; OCSP and CRL %d say so", id, time.Since(begun).Round(time.Millisecond), answer.CRLs[policy.MerchantCA])

	_, reused, err := d.line.send(ctx, "and now?")
	if err == nil || !reused {
		return fmt.Errorf("the merchant's next message on the open connection: reused %v, error %w, want a refusal", reused, err)
	}
	d.step("refused-open", map[string]any{"refused": true, "connection": "open", "why": err.Error()},
		"%s's next message on the open connection: refused, %s", id, d.gateway().refusal(err))

	d.line.transport.CloseIdleConnections()
	_, reused, err = d.line.send(ctx, "and on a new one?")
	if err == nil || reused {
		return fmt.Errorf("the merchant's next connection: reused %v, error %w, want a refusal", reused, err)
	}
	why := d.gateway().refusal(err)
	d.step("refused-new", map[string]any{"refused": true, "connection": "new", "why": why}, "%s's next connection: refused, %s", id, why)
	return d.captureRefused(ctx)
}

// traceReuse notes whether the request went over a connection that was open before.
func traceReuse(ctx context.Context, reused *bool) context.Context {
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotConn: func(info httptrace.GotConnInfo) { *reused = info.Reused },
	})
}
