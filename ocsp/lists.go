package ocsp

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"
)

const (
	maxLists = 64 // CRLs that a checker keeps
	// crlReuse is how long a CRL is taken for the newest. A root CRL holds for a
	// year; that a new one revokes an issuing CA must be seen long before.
	crlReuse = 5 * time.Minute
)

// lists keeps verified CRLs until their nextUpdate, and looks for a newer one
// when crlReuse has passed. One fetch runs for each.
type lists struct {
	mu     sync.Mutex
	kept   map[listKey]*keptList // owned by mu
	flight singleflight.Group
}

// A keptList is a CRL and when it was fetched, or tried to be.
type keptList struct {
	*List
	tried time.Time // owned by the mutex of lists
	der   []byte    // of the list that was fetched whole, if it is to be kept over a restart
}

type listKey struct {
	url    string
	issuer [32]byte // SHA-256 of the issuer's certificate
}

func (l *lists) init() { l.kept = make(map[listKey]*keptList) }

// find returns the list that is kept, nil for none that holds, and whether it is time to look for a newer one.
func (l *lists) find(k listKey, now time.Time) (list *keptList, due bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	kept := l.kept[k]
	if kept == nil || !now.Before(kept.NextUpdate) {
		return nil, true
	}
	if due = now.Sub(kept.tried) >= crlReuse || now.Before(kept.tried); due {
		kept.tried = now // one caller looks, and until it has, the others go on with this one
	}
	return kept, due
}

// keep stores a list unless it is older than the one kept. A full store loses an arbitrary one.
func (l *lists) keep(k listKey, next *keptList) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	old, replace := l.kept[k]
	if replace && next.Number < old.Number {
		return fmt.Errorf("CRL number %d, want at least %d, which was there before", next.Number, old.Number)
	}
	if !replace && len(l.kept) >= maxLists {
		for victim := range l.kept {
			delete(l.kept, victim)
			break
		}
	}
	l.kept[k] = next
	return nil
}

// ended returns the list that is kept though its time is over, nil if there is none.
func (l *lists) ended(k listKey) *keptList {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.kept[k]
}

func (c *knowledge) askCRL(ctx context.Context, from string, leaf, issuer *x509.Certificate) (Verdict, error) {
	k := listKey{url: from, issuer: sha256.Sum256(issuer.Raw)}
	c.recallList(k, issuer)
	l, due := c.lists.find(k, c.cfg.Now())
	if due {
		got, err, _ := c.lists.flight.Do(from+string(k.issuer[:]), func() (any, error) {
			next, err := c.renewCRL(ctx, l, from, issuer)
			if err != nil {
				return nil, err
			}
			return next, c.lists.keep(k, next)
		})
		switch {
		case err == nil:
			l = got.(*keptList)
			c.cache.changed()
		case l == nil:
			return c.stillListed(k, leaf, err)
		} // else the one that is kept still holds
	}
	return c.listed(l.List, leaf)
}

// listed is what a list says of a certificate.
func (c *knowledge) listed(l *List, leaf *x509.Certificate) (Verdict, error) {
	if err := l.Covers(leaf); err != nil {
		return Verdict{}, err
	}
	v := Verdict{State: Good, Source: "crl", CheckedAt: c.cfg.Now(), ThisUpdate: l.ThisUpdate, NextUpdate: l.NextUpdate}
	if e, ok := l.Lookup(leaf.SerialNumber.Bytes()); ok {
		v.State, v.RevokedAt, v.Reason = Revoked, e.At, e.Reason
	}
	return v, nil
}

// stillListed is what a list whose time is over says when there is none newer: what was revoked for good still is.
func (c *knowledge) stillListed(k listKey, leaf *x509.Certificate, err error) (Verdict, error) {
	if old := c.lists.ended(k); old != nil {
		if v, err := c.listed(old.List, leaf); err == nil && v.final() {
			return v, nil
		}
	}
	return Verdict{}, err
}

// renewCRL fetches a list: the delta to the one that is kept, if that has one, or a whole one and the delta to that. A
// delta that cannot be had or applied is done without.
func (c *knowledge) renewCRL(ctx context.Context, kept *keptList, from string, issuer *x509.Certificate) (*keptList, error) {
	if kept != nil {
		if next, err := c.applyDelta(ctx, kept.List, issuer); err == nil {
			return &keptList{next, c.cfg.Now(), kept.der}, nil
		}
	}
	l, der, err := c.fetchCRL(ctx, from, issuer)
	if err != nil {
		return nil, err
	}
	if l.Delta {
		return nil, fmt.Errorf("CRL: a delta list to number %d, want a whole one", l.Base)
	}
	if c.cfg.Cache == "" || len(der) > maxKeptList {
		der = nil
	}
	if next, err := c.applyDelta(ctx, l, issuer); err == nil {
		l = next
	}
	return &keptList{l, c.cfg.Now(), der}, nil
}

// applyDelta fetches the delta list that the list names, and applies it.
func (c *knowledge) applyDelta(ctx context.Context, l *List, issuer *x509.Certificate) (*List, error) {
	if len(l.Freshest) == 0 {
		return nil, errors.New("CRL: it names no delta list")
	}
	delta, _, err := c.fetchCRL(ctx, l.Freshest[0], issuer)
	if err != nil {
		return nil, err
	}
	return l.Apply(delta)
}

// fetchCRL fetches and verifies a CRL.
func (c *knowledge) fetchCRL(ctx context.Context, from string, issuer *x509.Certificate) (*List, []byte, error) {
	if _, err := c.place(from); err != nil {
		return nil, nil, err
	}
	req, err := http.NewRequest(http.MethodGet, from, nil)
	if err != nil {
		return nil, nil, err
	}
	body, err := c.fetch(ctx, req, maxCRL)
	if err != nil {
		return nil, nil, err
	}
	l, err := verifyCRL(body, issuer)
	if err != nil {
		return nil, nil, err
	}
	now := c.cfg.Now()
	if l.ThisUpdate.After(now.Add(c.cfg.Skew)) || l.NextUpdate.Before(now.Add(-c.cfg.Skew)) {
		return nil, nil, fmt.Errorf("CRL holds from %v to %v, want one that holds at %v", l.ThisUpdate, l.NextUpdate, now)
	}
	return l, body, nil
}

// verifyCRL reads a list that issuer signed.
func verifyCRL(der []byte, issuer *x509.Certificate) (*List, error) {
	l, err := ParseCRL(der)
	if err != nil {
		return nil, err
	}
	if err := l.CheckSignatureFrom(issuer); err != nil {
		return nil, err
	}
	l.release()
	return l, nil
}
