package ca

import (
	"context"
	"encoding/binary"
	"fmt"
	"strconv"

	"github.com/payca/payca/ca/audit"
	"github.com/payca/payca/policy"
)

// MaxShards is how many parts the CRL of an issuing CA may have.
const MaxShards = 4096

// raiseShards records how many shards each CRL has. The number never falls, because certificates name their shard
// for life.
func (a *Authority) raiseShards(ctx context.Context) error {
	for _, name := range a.Issuers() {
		n := a.cfg.Shards[name]
		event := audit.Event{Time: a.now(), Kind: audit.CRLShards, Actor: self, Issuer: name, Attrs: map[string]string{"shards": strconv.Itoa(n)}}
		kept, err := a.cfg.Store.RaiseShards(ctx, name, n, event)
		if err != nil {
			return fmt.Errorf("recording the CRL shards of the %s CA: %w", name, err)
		}
		a.shards[name] = kept
	}
	return nil
}

// Shards returns how many shards the CRL of the named issuer has: at least as many as any of its certificates names.
func (a *Authority) Shards(issuer string) int { return a.shards[issuer] }

// CRLURL returns where the CRL of the issuer is, as certificates name it: a shard, from 1, or with 0 the full list.
func (a *Authority) CRLURL(issuer string, shard int) string {
	return crlURL(a.cfg.StatusURL, issuer, shard)
}

// StatusURL returns the base of the URLs that certificates carry.
func (a *Authority) StatusURL() string { return a.cfg.StatusURL }

// DeltaURL returns where the delta list to the full CRL of the issuer is.
func (a *Authority) DeltaURL(issuer string) string {
	return a.cfg.StatusURL + "/crl/" + issuer + "/delta.crl"
}

func crlURL(statusURL, issuer string, shard int) string {
	url := statusURL + "/crl/" + issuer
	if shard > 0 {
		url += "/" + strconv.Itoa(shard)
	}
	return url + ".crl"
}

// shardFor chooses the shard of a certificate that is about to be made, by the last bits of its serial.
func (a *Authority) shardFor(d *policy.Decision, serial Serial) int {
	n := a.cfg.Shards[d.IssuerName]
	if n == 0 || !d.StatusURLs {
		return 0
	}
	return int(binary.BigEndian.Uint64(serial[12:])%uint64(n)) + 1
}

// RecordRootCRL records that a CRL of the root is published, which the ceremony signed.
func (a *Authority) RecordRootCRL(ctx context.Context, number uint64) error {
	return a.cfg.Store.Append(ctx, audit.Event{
		Time: a.now(), Kind: audit.RootCRL, Actor: self, Issuer: "root", Attrs: map[string]string{"number": strconv.FormatUint(number, 10)},
	})
}
