package ocsp

import (
	"container/list"
	"time"
)

// maxRemembered is how many certificates a checker remembers.
const maxRemembered = 4096

// memory is what a checker knows, by SHA-256 of the certificate. The certificate
// looked at least recently is forgotten first.
type memory struct {
	byID   map[[32]byte]*list.Element // of *entry
	recent *list.List                 // latest first
}

// An entry is what is known of one certificate.
type entry struct {
	id      [32]byte
	verdict Verdict
	err     error
	until   time.Time // verdict and err may be reused before
	answer  []byte    // the OCSP response that said so, if it is to be kept over a restart

	staple  [32]byte // SHA-256 of a stapled answer that was good
	stapled Verdict
}

func (m *memory) init() {
	m.byID = make(map[[32]byte]*list.Element)
	m.recent = list.New()
}

// find returns what is known, the zero entry if nothing is.
func (m *memory) find(id [32]byte) entry {
	e := m.byID[id]
	if e == nil {
		return entry{}
	}
	m.recent.MoveToFront(e)
	return *e.Value.(*entry)
}

// open returns the entry of a certificate, made if need be.
func (m *memory) open(id [32]byte) *entry {
	if e := m.byID[id]; e != nil {
		return e.Value.(*entry)
	}
	if len(m.byID) >= maxRemembered {
		last := m.recent.Back()
		delete(m.byID, m.recent.Remove(last).(*entry).id)
	}
	fresh := &entry{id: id}
	m.byID[id] = m.recent.PushFront(fresh)
	return fresh
}

// learn notes a verdict. What is revoked for good stays so.
func (m *memory) learn(id [32]byte, v Verdict, err error, until time.Time) {
	if e := m.open(id); !e.final() {
		e.verdict, e.err, e.until = v, err, until
	}
}

func (m *memory) learnStaple(id, staple [32]byte, v Verdict) {
	e := m.open(id)
	e.staple, e.stapled = staple, v
}

// fresh says whether the verdict may be reused.
func (e *entry) fresh(now time.Time) bool {
	return now.Before(e.until) && (e.final() || !now.Before(e.verdict.CheckedAt))
}

func (e *entry) final() bool { return e.verdict.final() }

// outlasts says whether the entry's revocation or hold stands against what was
// learned later: it does while it is valid, unless newer information says otherwise.
func (e *entry) outlasts(v Verdict, now time.Time) bool {
	if e.verdict.State != Revoked || v.State == Revoked {
		return false
	}
	return e.final() || now.Before(e.verdict.NextUpdate) && v.ThisUpdate.Before(e.verdict.ThisUpdate)
}
