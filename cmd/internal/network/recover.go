package network

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"os"
	"strconv"
	"time"

	"github.com/payca/payca/ca"
	"github.com/payca/payca/ca/audit"
	"github.com/payca/payca/ca/boltstore"
	"github.com/payca/payca/enroll"
	"github.com/payca/payca/ocsp"
	"github.com/payca/payca/policy"
)

// Bounds of what [Recover] raises: a slip of the keyboard must not use up the numbers or the disk.
const (
	maxCRLFloor = 1 << 53
	maxLogGap   = 10_000_000
	gapBatch    = 1000
)

// ErrNothingToRecover says that a network was not restored, or was recovered already.
var ErrNothingToRecover = errors.New("nothing to recover: this network was not restored from a backup")

// A RecoverConfig says what may have happened after the backup was made.
type RecoverConfig struct {
	Dir            string
	PassphraseFile string              // opens the keys; "" for the configured one
	NoNewer        bool                // nothing was issued or signed; the rest is not asked for then
	CRLFloor       uint64              // no CRL had a higher number
	LogFloor       uint64              // no head of the audit log had a higher size
	Unknown        []*x509.Certificate // issued after the backup; they become revoked
	CRLs           [][]byte            // DER, signed after the backup: what they revoke becomes revoked
	Now            func() time.Time
}

// Recovered is what [Recover] did.
type Recovered struct {
	LogSize    uint64            `json:"log_size"`    // entries now
	CRLNumbers map[string]uint64 `json:"crl_numbers"` // at least these were used, by issuer
	Revoked    int               `json:"revoked"`     // certificates that became revoked
	Known      int               `json:"known"`       // certificates that the backup knew, or knew as revoked
}

// Recover raises the numbers of a restored network above all that may have been used, revokes what it cannot
// know, ends the tokens that may have been used, records that and lets the network be served. It may be
// repeated after it was cut short. [ErrNothingToRecover] for cfg.NoNewer where nothing was restored.
func Recover(ctx context.Context, cfg RecoverConfig) (r *Recovered, err error) {
	conf, err := LoadConfig(cfg.Dir)
	if err != nil {
		return nil, err
	}
	marker, err := ReadMarker(cfg.Dir)
	if err != nil {
		return nil, err
	}
	if marker == nil && cfg.NoNewer {
		return nil, ErrNothingToRecover
	}
	if cfg.CRLFloor > maxCRLFloor {
		return nil, fmt.Errorf("the floor of CRL numbers is %d, want at most %d", cfg.CRLFloor, uint64(maxCRLFloor))
	}
	rec := &recovery{RecoverConfig: cfg, now: clock(cfg.Now)().UTC().Truncate(time.Second), issuers: map[string]*x509.Certificate{}}
	rec.CRLNumbers = map[string]uint64{}
	if err := rec.plan(); err != nil {
		return nil, err
	}
	ring, err := openRing(cfg.Dir, cfg.PassphraseFile, conf)
	if err != nil {
		return nil, err
	}
	rec.store, err = openStore(ctx, cfg.Dir, conf, ring)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rec.store.Close()) }()
	if err := rec.run(ctx, marker); err != nil {
		return nil, err
	}
	if err := os.Remove(markerPath(cfg.Dir)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	return &rec.Recovered, syncDir(caDir(cfg.Dir).path())
}

// A recovery is one call of Recover.
type recovery struct {
	RecoverConfig
	Recovered
	now     time.Time
	store   *boltstore.Store
	issuers map[string]*x509.Certificate
	revoke  []ca.Revocation // not known to the store, or not as revoked
}

// plan reads and checks all that is given, before anything is changed.
func (r *recovery) plan() error {
	for _, name := range policy.CAs() {
		certificates, err := enroll.ReadCertificates(caDir(r.Dir).certificate(name))
		if err != nil {
			return err
		}
		r.issuers[name] = certificates[0]
		if !r.NoNewer {
			r.CRLNumbers[name] = r.CRLFloor
		}
	}
	for _, leaf := range r.Unknown {
		issuer, _ := r.signer(leaf.CheckSignatureFrom)
		serial, err := ca.SerialOf(leaf.SerialNumber)
		if issuer == "" || err != nil {
			return fmt.Errorf("certificate %x of %q was not issued by this network", leaf.SerialNumber, leaf.Subject)
		}
		r.revoke = append(r.revoke, ca.Revocation{
			Serial: serial, Issuer: issuer, Reason: ca.Unspecified, At: r.now, NotAfter: leaf.NotAfter, By: "local", Shard: ca.AnyShard,
		})
	}
	for i, der := range r.CRLs {
		if err := r.planCRL(der); err != nil {
			return fmt.Errorf("CRL %d of those given: %w", i+1, err)
		}
	}
	return nil
}

// planCRL takes the number and the entries of a CRL over.
func (r *recovery) planCRL(der []byte) error {
	list, err := ocsp.ParseCRL(der)
	if err != nil {
		return err
	}
	name, certificate := r.signer(list.CheckSignatureFrom)
	if name == "" {
		return errors.New("it was not signed by an issuing CA of this network")
	}
	if list.Delta {
		return errors.New("it is a delta list, want the full one or a shard")
	}
	if list.Number > maxCRLFloor {
		return fmt.Errorf("it has number %d, want at most %d", list.Number, uint64(maxCRLFloor))
	}
	r.CRLNumbers[name] = max(r.CRLNumbers[name], list.Number)
	for entry := range list.All() {
		serial, err := ca.SerialOf(new(big.Int).SetBytes(entry.Serial))
		if err != nil {
			return err
		}
		r.revoke = append(r.revoke, ca.Revocation{
			Serial: serial, Issuer: name, Reason: ca.Reason(entry.Reason), At: entry.At.UTC(),
			NotAfter: certificate.NotAfter, // the CRL does not say; no leaf outlives its issuer
			By:       "local", Shard: ca.AnyShard,
		})
	}
	return nil
}

// signer finds the issuing CA that check accepts.
func (r *recovery) signer(check func(*x509.Certificate) error) (string, *x509.Certificate) {
	for _, name := range policy.CAs() {
		if check(r.issuers[name]) == nil {
			return name, r.issuers[name]
		}
	}
	return "", nil
}

func (r *recovery) run(ctx context.Context, marker *Marker) error {
	if err := r.fillLog(ctx); err != nil {
		return err
	}
	for _, rev := range r.revoke {
		if err := r.revokeOne(ctx, rev); err != nil {
			return fmt.Errorf("revoking %s of the %s CA: %w", rev.Serial, rev.Issuer, err)
		}
	}
	event := audit.Event{Time: r.now, Kind: audit.NetworkRecovered, Actor: "local", Attrs: map[string]string{
		"revoked": strconv.Itoa(r.Revoked), "known": strconv.Itoa(r.Known), "log_floor": strconv.FormatUint(r.LogFloor, 10),
	}}
	floors := ca.Floors{CRLNumbers: r.CRLNumbers, Tokens: r.now}
	for name, n := range r.CRLNumbers {
		event.Attrs["crl_floor_"+name] = strconv.FormatUint(n, 10)
	}
	if r.NoNewer {
		event.Reason = "the operator says that nothing was issued or signed after the backup"
		floors.Tokens = time.Time{}
	}
	if marker != nil {
		event.Attrs["backup"], event.Attrs["backup_log_size"] = marker.Backup.UTC().Format(time.RFC3339), strconv.FormatUint(marker.LogSize, 10)
	}
	if err := r.store.Raise(ctx, floors, event); err != nil {
		return err
	}
	newest, err := r.store.Newest()
	r.LogSize, r.CRLNumbers = newest.LogSize, newest.CRLNumbers
	return err
}

// fillLog adds entries until none of the positions that may have been taken is free, so that no
// head is ever signed for a size that had another root.
func (r *recovery) fillLog(ctx context.Context) error {
	newest, err := r.store.Newest()
	if err != nil {
		return err
	}
	size := newest.LogSize
	if r.LogFloor > size && r.LogFloor-size > maxLogGap {
		return fmt.Errorf("the floor of the log is %d, want at most %d, %d more than the %d entries that it has", r.LogFloor, size+maxLogGap, maxLogGap, size)
	}
	for size < r.LogFloor {
		gap := make([]audit.Event, min(gapBatch, r.LogFloor-size))
		for i := range gap {
			gap[i] = audit.Event{Time: r.now, Kind: audit.LogGap, Actor: "local"}
		}
		if err := r.store.Append(ctx, gap...); err != nil {
			return err
		}
		size += uint64(len(gap))
	}
	return nil
}

// revokeOne revokes a certificate, also one that the store does not know: its serial is used up for good then.
func (r *recovery) revokeOne(ctx context.Context, rev ca.Revocation) error {
	event := audit.Event{
		Time: r.now, Kind: audit.CertificateRevoked, Actor: rev.By, Issuer: rev.Issuer, Serial: rev.Serial.String(),
		Reason: rev.Reason.String(), Attrs: map[string]string{"recovered": "true"},
	}
	status, err := r.store.Status(ctx, rev.Issuer, rev.Serial)
	if err != nil {
		return err
	}
	if status.Issued {
		err := r.store.Revoke(ctx, rev, event)
		if already := (*ca.RevokedError)(nil); errors.As(err, &already) {
			r.Known++
			return nil
		}
		r.Revoked++
		return err
	}
	err = r.store.Reserve(ctx, ca.Intent{Serial: rev.Serial, Issuer: rev.Issuer, NotAfter: rev.NotAfter, At: r.now})
	if err != nil && !errors.Is(err, ca.ErrSerialUsed) { // used: an intent that the backup found open
		return err
	}
	r.Revoked++
	return r.store.CloseIntent(ctx, rev, event)
}
