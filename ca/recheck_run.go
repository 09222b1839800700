package ca

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/payca/payca/ca/audit"
	"github.com/payca/payca/policy"
)

const (
	recheckPage    = 256 // certificates read at a time
	recheckPages   = 64  // pages after which the place is saved even if nothing was found
	findingsLogged = 1000
)

// A RecheckConfig says on whose word the inventory is checked, and how fast.
type RecheckConfig struct {
	By string // as in audit.Event.Actor; "" for the CA on its own
	// Pause is called after every page, with the time that the page took; its error ends the walk. Nil: no pause.
	Pause func(ctx context.Context, worked time.Duration) error
}

// Recheck looks at every certificate of the inventory with the rules of today: that the record is what was signed, and, of
// those that are neither expired nor revoked, the lints, the key and the party. A walk that was cut off goes on where it
// was. It holds one page of certificates in memory, and commits only what it finds, and its place now and then.
//
// Each new finding is an event (at most 1,000 of one walk; all are kept as [Finding]s), and so is the end of the walk.
// Findings that stand no more are dropped at the end. At most one walk may run at a time; the caller sees to that.
func (a *Authority) Recheck(ctx context.Context, cfg RecheckConfig) (Recheck, error) {
	if cfg.By == "" {
		cfg.By = self
	}
	state, err := a.cfg.Store.Recheck(ctx)
	if err != nil {
		return state, fmt.Errorf("re-checking the inventory: %w", err)
	}
	if state.Started.IsZero() || !state.Finished.IsZero() {
		next := Recheck{Started: a.now(), By: cfg.By}
		if !state.Finished.IsZero() {
			finished := state.Finished
			next.Previous = &finished
			if !next.Started.After(state.Started) { // the clock went back, or two in a second
				next.Started = state.Started.Add(time.Second)
			}
		}
		state = next
	}
	w := &walk{Authority: a, store: a.cfg.Store, cfg: cfg, state: state}
	if err := w.run(ctx); err != nil {
		return w.state, fmt.Errorf("re-checking the inventory: %w", err)
	}
	return w.state, nil
}

// A walk is a re-check under way.
type walk struct {
	*Authority
	store Store
	cfg   RecheckConfig
	state Recheck
	pages int // since the place was saved
}

func (w *walk) run(ctx context.Context) error {
	for {
		began := time.Now()
		n, err := w.page(ctx)
		if err != nil {
			return err
		}
		if n < recheckPage {
			return w.finish(ctx)
		}
		if w.cfg.Pause != nil {
			if err := w.cfg.Pause(ctx, time.Since(began)); err != nil {
				return err
			}
		}
	}
}

// page checks the next certificates, and returns how many there were.
func (w *walk) page(ctx context.Context) (n int, err error) {
	filter := Filter{Limit: recheckPage}
	if w.state.Next > 0 {
		filter.From, filter.After = true, w.state.Next-1
	}
	var found []Finding
	var events []audit.Event
	for rec, err := range w.store.Certificates(ctx, filter) {
		if err != nil {
			return n, err
		}
		n++
		w.state.Checked++
		w.state.Next = rec.Index + 1
		faults, err := w.faults(ctx, rec)
		if err != nil {
			return n, err
		}
		if len(faults) == 0 {
			continue
		}
		f, event, err := w.finding(ctx, rec, faults)
		if err != nil {
			return n, err
		}
		found = append(found, f)
		events = append(events, event...)
	}
	if w.pages++; len(found) == 0 && w.pages < recheckPages {
		return n, nil
	}
	w.pages = 0
	return n, w.store.SaveRecheck(ctx, w.state, found, nil, events...)
}

// finding is what is kept of the faults, with an event if they are new.
func (w *walk) finding(ctx context.Context, rec Record, faults []Fault) (Finding, []audit.Event, error) {
	f := Finding{
		Serial: rec.Serial, Index: rec.Index, Issuer: rec.Issuer, Profile: rec.Profile, Party: rec.Party,
		Faults: faults, Since: w.state.Started, Seen: w.state.Started,
	}
	w.state.Found++
	stands, err := w.store.Finding(ctx, rec.Serial)
	switch {
	case err == nil:
		f.Since = stands.Since
		if slices.Equal(stands.Faults, faults) {
			return f, nil, nil
		}
	case errors.Is(err, ErrNotFound):
		w.state.New++
	default:
		return f, nil, err
	}
	if w.state.New > findingsLogged {
		return f, nil, nil
	}
	texts := make([]string, len(faults))
	for i, fault := range faults {
		texts[i] = fault.Rule + ": " + fault.Detail
	}
	return f, []audit.Event{{
		Time: w.now(), Kind: audit.CertificateFinding, Actor: w.cfg.By, Party: rec.Party, Role: string(rec.Role), Issuer: rec.Issuer,
		Profile: rec.Profile, Serial: rec.Serial.String(), Reason: clip(strings.Join(texts, "; ")),
	}}, nil
}

// finish drops the findings that this walk did not see, and closes it.
func (w *walk) finish(ctx context.Context) error {
	var stale []Serial
	for f, err := range w.store.Findings(ctx, Serial{}) {
		if err != nil {
			return err
		}
		if f.Seen.Equal(w.state.Started) {
			continue
		}
		stale = append(stale, f.Serial)
		w.state.Cleared++
		if len(stale) == recheckPage {
			if err := w.store.SaveRecheck(ctx, w.state, nil, stale); err != nil {
				return err
			}
			stale = nil
		}
	}
	w.state.Finished = w.now()
	event := audit.Event{Time: w.now(), Kind: audit.StoreRechecked, Actor: w.cfg.By, Attrs: map[string]string{
		"checked": strconv.Itoa(w.state.Checked), "found": strconv.Itoa(w.state.Found),
		"new": strconv.Itoa(w.state.New), "cleared": strconv.Itoa(w.state.Cleared),
	}}
	return w.store.SaveRecheck(ctx, w.state, nil, stale, event)
}

// faults is everything that is wrong with one certificate today.
func (a *Authority) faults(ctx context.Context, rec Record) ([]Fault, error) {
	c, err := x509.ParseCertificate(rec.DER)
	if err != nil {
		return []Fault{{Rule: "record", Detail: clip(err.Error())}}, nil
	}
	if fault := a.recordFault(rec, c); fault != "" {
		return []Fault{{Rule: "record", Detail: fault}}, nil
	}
	if rec.Revocation != nil || rec.NotAfter.Before(a.now()) {
		return nil, nil
	}
	faults := FaultsOf(a.cfg.Linter(c))
	var vs policy.Violations
	profile, ok := a.profiles[rec.Profile]
	if !ok {
		return slices.Insert(faults, 0, Fault{Rule: "profile-known", Detail: fmt.Sprintf("profile %q, which is not configured", rec.Profile)}), nil
	}
	if err := profile.CheckKey(c.PublicKey); err != nil {
		vs = policy.ViolationsOf(err)
	}
	vs = append(vs, a.outsideFaults(c.RawSubjectPublicKeyInfo, c.PublicKey)...)
	known, err := a.cfg.Store.Key(ctx, rec.SPKI)
	if err != nil {
		return nil, err
	}
	of := application{party: policy.Party{ID: rec.Party}, profile: profile}
	vs = append(vs, policy.ViolationsOf(of.admit(known))...)
	for _, v := range vs {
		faults = append(faults, Fault{Rule: v.Rule, Detail: strings.TrimPrefix(v.Field, "csr: ") + " is " + v.Got})
	}
	party, err := a.partyFault(ctx, rec)
	if party != "" {
		faults = append(faults, Fault{Rule: "party-known", Detail: party})
	}
	return faults, err
}

// recordFault says in what the record is not what the certificate says, "" for nothing.
func (a *Authority) recordFault(rec Record, c *x509.Certificate) string {
	is, ok := a.issuers[rec.Issuer]
	if !ok {
		return fmt.Sprintf("issuer %q, which this CA has not", rec.Issuer)
	}
	serial, err := SerialOf(c.SerialNumber)
	switch {
	case err != nil || serial != rec.Serial:
		return fmt.Sprintf("recorded as %s, and the certificate has serial %x", rec.Serial, c.SerialNumber)
	case !c.NotAfter.Equal(rec.NotAfter) || !c.NotBefore.Equal(rec.NotBefore):
		return "recorded with another validity than the certificate has"
	case sha256.Sum256(c.RawSubjectPublicKeyInfo) != rec.SPKI:
		return "recorded with another key than the certificate has"
	case !bytes.Equal(c.RawIssuer, is.cert.RawSubject):
		return fmt.Sprintf("recorded as issued by the %s CA, and the certificate names %q", rec.Issuer, c.Issuer)
	}
	if err := is.cert.CheckSignature(c.SignatureAlgorithm, c.RawTBSCertificate, c.Signature); err != nil {
		return "not signed by the " + rec.Issuer + " CA: " + err.Error()
	}
	return ""
}

// partyFault compares with the registry.
func (a *Authority) partyFault(ctx context.Context, rec Record) (string, error) {
	if rec.Party == "" {
		return "", nil
	}
	party, err := a.cfg.Store.Party(ctx, rec.Party)
	switch {
	case errors.Is(err, ErrNotFound):
		return fmt.Sprintf("party %q is not registered", rec.Party), nil
	case err != nil:
		return "", err
	case party.Role != rec.Role:
		return fmt.Sprintf("party %q is a %s, and the certificate is for a %s", rec.Party, party.Role, rec.Role), nil
	}
	return "", nil
}
