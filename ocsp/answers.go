package ocsp

import (
	"crypto"
	"sync"
	"sync/atomic"
	"time"
)

// answers keeps signed answers, bare signatures of many more, and the flights that make them. A flight is
// known by its place in the map: once drop has taken it out, nobody joins it and
// what it brings is not kept.
type answers struct {
	mu         sync.Mutex
	limit      int
	kept       map[answerKey]*reply  // owned by mu
	signatures signatures            // owned by mu
	flights    map[answerKey]*flight // owned by mu
}

// answerKey determines the bytes of the CertID that an answer echoes.
type answerKey struct {
	issuer int32
	hash   uint8 // crypto.Hash
	bare   bool
	length uint8 // of serial
	serial [maxSerial]byte
}

// A flight is one answer in the making.
type flight struct {
	done  chan struct{} // closed when reply is set for good
	reply *reply
	keep  func(*signatures) // keeps the bare signature; nil if there is none to keep
}

// newAnswerKey makes a key from a CertID whose serial is at most maxSerial long.
func newAnswerKey(issuer int, id *CertID) answerKey {
	k := answerKey{issuer: int32(issuer), hash: uint8(id.Hash), bare: id.bare}
	k.length = uint8(copy(k.serial[:], id.Serial))
	return k
}

func (a *answers) init(limit, signatures int) {
	a.limit = limit
	a.kept = make(map[answerKey]*reply)
	a.signatures.limit, a.signatures.kept = signatures, make(map[answerKey]signature)
	a.flights = make(map[answerKey]*flight)
}

// find returns a kept answer that still serves, or a flight; mine says that the
// caller began the flight and must land it.
func (a *answers) find(k answerKey, now time.Time, signer *Signer) (rep *reply, f *flight, mine bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if rep := a.kept[k]; rep != nil && rep.serves(now, signer) {
		rep.asked.Store(true)
		return rep, nil, false
	}
	f, mine = a.begin(k)
	return nil, f, mine
}

// begin returns the flight for a key, and whether the caller began it; the caller holds mu.
func (a *answers) begin(k answerKey) (f *flight, mine bool) {
	if f := a.flights[k]; f != nil {
		return f, false
	}
	f = &flight{done: make(chan struct{})}
	a.flights[k] = f
	return f, true
}

// signature returns a kept signature that still serves.
func (a *answers) signature(k answerKey, signer uint32, now time.Time) (signature, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.signatures.get(k, signer, now)
}

// land ends a flight and keeps its answer, unless it was dropped meanwhile.
func (a *answers) land(k answerKey, f *flight) {
	a.mu.Lock()
	if a.flights[k] == f {
		delete(a.flights, k)
		if f.reply.keep {
			a.keep(k, f.reply)
		}
		if f.keep != nil {
			f.keep(&a.signatures)
		}
	}
	a.mu.Unlock()
	close(f.done)
}

// keep stores an answer; the caller holds mu. A full cache loses an arbitrary one.
func (a *answers) keep(k answerKey, rep *reply) {
	if _, replace := a.kept[k]; !replace && len(a.kept) >= a.limit {
		for victim := range a.kept {
			delete(a.kept, victim)
			break
		}
	}
	a.kept[k] = rep
}

// due begins a flight for each kept answer that was asked for since it was signed and is to be renewed ahead, and forgets what
// serves no more.
func (a *answers) due(now time.Time) map[answerKey]*flight {
	a.mu.Lock()
	defer a.mu.Unlock()
	flights := map[answerKey]*flight{}
	for k, rep := range a.kept {
		switch {
		case !now.Before(rep.renewAt):
			delete(a.kept, k)
		case !now.Before(rep.refreshAt) && rep.asked.Load():
			if f, mine := a.begin(k); mine {
				f.reply = rep
				flights[k] = f
			}
		}
	}
	return flights
}

func (a *answers) drop(issuer int, serial []byte) {
	if len(serial) > maxSerial {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, h := range certIDHashes() {
		for _, bare := range [2]bool{false, true} {
			k := newAnswerKey(issuer, &CertID{Hash: h, Serial: serial, bare: bare})
			delete(a.kept, k)
			delete(a.flights, k)
			delete(a.signatures.kept, k)
		}
	}
}

// Stats counts what a [Responder] did since it was made.
type Stats struct {
	SHA1         uint64 // CertIDs by SHA-1
	OtherHashes  uint64 // CertIDs by another hash
	Hits         uint64 // answers from the cache
	Rebuilt      uint64 // answers around a signature that was kept
	Refreshed    uint64 // answers renewed before anybody had to wait for them
	Good         uint64 // statuses signed
	Revoked      uint64
	Unknown      uint64
	Malformed    uint64 // requests told malformedRequest
	Unauthorized uint64 // requests told unauthorized
	TryLater     uint64 // requests told tryLater
	Internal     uint64 // requests told internalError
}

type counters struct {
	sha1, otherHashes, hits, rebuilt, refreshed, good, revoked, unknown atomic.Uint64
	malformed, unauthorized, tryLater, internal                         atomic.Uint64
}

// Stats returns the counts; each is exact, together they are not one moment.
func (r *Responder) Stats() Stats {
	c := &r.counts
	return Stats{
		SHA1: c.sha1.Load(), OtherHashes: c.otherHashes.Load(), Hits: c.hits.Load(), Rebuilt: c.rebuilt.Load(), Refreshed: c.refreshed.Load(),
		Good: c.good.Load(), Revoked: c.revoked.Load(), Unknown: c.unknown.Load(),
		Malformed: c.malformed.Load(), Unauthorized: c.unauthorized.Load(),
		TryLater: c.tryLater.Load(), Internal: c.internal.Load(),
	}
}

func (c *counters) count(req *Request) {
	for i := range req.CertIDs {
		if req.CertIDs[i].Hash == crypto.SHA1 {
			c.sha1.Add(1)
		} else {
			c.otherHashes.Add(1)
		}
	}
}

func (c *counters) signedFor(singles []SingleResponse) {
	for i := range singles {
		switch singles[i].State {
		case Good:
			c.good.Add(1)
		case Revoked:
			c.revoked.Add(1)
		case Unknown:
			c.unknown.Add(1)
		}
	}
}
