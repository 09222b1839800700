package ocsp

import (
	"context"
	"fmt"
	"log/slog"
	"time"
)

// answer answers a request under the issuer of the path, nil if it named none.
func (r *Responder) answer(ctx context.Context, fromPath *responderIssuer, in *input) *reply {
	req := &in.req
	if err := req.Parse(in.der); err != nil {
		r.cfg.Logger.DebugContext(ctx, "ocsp request refused", slog.Any("err", err))
		r.counts.malformed.Add(1)
		return errorReply(Malformed)
	}
	r.counts.count(req)
	is := r.choose(fromPath, req.CertIDs)
	if is == nil {
		r.counts.unauthorized.Add(1)
		return errorReply(Unauthorized)
	}
	if req.Nonce == nil && len(req.CertIDs) == 1 {
		if _, mine := is.owns(&req.CertIDs[0]); mine && len(req.CertIDs[0].Serial) <= maxSerial {
			return r.shared(ctx, is, &req.CertIDs[0])
		}
	}
	return r.sign(ctx, is, in)
}

// shared answers a request about one certificate, without nonce: from the cache,
// from a flight under way, or with a flight of its own.
func (r *Responder) shared(ctx context.Context, is *responderIssuer, id *CertID) *reply {
	k := newAnswerKey(is.index, id)
	rep, f, mine := r.answers.find(k, r.cfg.Now(), is.Signer())
	switch {
	case rep != nil:
		r.counts.hits.Add(1)
		return rep
	case !mine:
		return r.join(ctx, f)
	}
	f.reply = errorReply(Internal) // stands if signing panics
	defer r.answers.land(k, f)
	if rep := r.rebuild(is, k, id); rep != nil {
		f.reply = rep
		return rep
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), flightBudget)
	defer cancel()
	f.reply = r.fly(ctx, is, k, id, f)
	return f.reply
}

// join waits for the answer that another request is making.
func (r *Responder) join(ctx context.Context, f *flight) *reply {
	defer r.waiting.Add(-1)
	if r.waiting.Add(1) > int64(r.cfg.Waiters) {
		return r.tryLater()
	}
	select {
	case <-f.done:
		return f.reply
	case <-ctx.Done():
		return r.tryLater()
	}
}

// rebuild makes an answer around a signature that is kept, nil if there is none.
func (r *Responder) rebuild(is *responderIssuer, k answerKey, id *CertID) *reply {
	now, err := r.clock.read()
	if err != nil {
		return nil
	}
	signer, err := is.usable(now)
	if err != nil {
		return nil
	}
	sig, ok := r.answers.signature(k, is.numberOf(signer), now)
	if !ok {
		return nil
	}
	single := SingleResponse{CertID: *id, State: Good, ThisUpdate: time.Unix(int64(sig.this), 0), NextUpdate: time.Unix(int64(sig.next), 0)}
	produced := time.Unix(int64(sig.produced), 0)
	r.archive(&single, produced)
	var room [512]byte
	data, err := signer.appendData(room[:0], produced, nil, []SingleResponse{single})
	if err != nil {
		return nil
	}
	r.counts.rebuilt.Add(1)
	return keptReply(signer.assemble(nil, data, sig.octets[:sig.size]), signer, produced, now, &single, r.cfg.MaxAge)
}

// archive writes since when statuses are kept.
func (r *Responder) archive(single *SingleResponse, produced time.Time) {
	if r.cfg.Retention > 0 {
		single.ArchiveCutoff = produced.Add(-r.cfg.Retention)
	}
}

// sign reads the statuses and signs an answer for one request, in its own room.
func (r *Responder) sign(ctx context.Context, is *responderIssuer, in *input) *reply {
	d := r.draw(ctx, is, in.req.CertIDs, in.req.Nonce, in.room[:0])
	if d.refused != nil {
		return d.refused
	}
	in.room = d.der
	in.live.body, in.live.fields = d.der, liveFields
	return &in.live
}

// fly signs an answer that serves whoever asks next, unless the certificate is unknown.
func (r *Responder) fly(ctx context.Context, is *responderIssuer, k answerKey, id *CertID, f *flight) *reply {
	d := r.draw(ctx, is, []CertID{*id}, nil, nil)
	switch {
	case d.refused != nil:
		return d.refused
	case d.singles[0].State == Unknown || d.singles[0].NeverIssued:
		return liveReply(d.der)
	}
	number, single := is.numberOf(d.signer), d.singles[0]
	f.keep = func(s *signatures) { s.put(k, number, d.produced, &single, d.signature) }
	return keptReply(d.der, d.signer, d.produced, d.produced, &single, r.cfg.MaxAge)
}

// A drawn is what was signed, or the answer that says why nothing was.
type drawn struct {
	refused        *reply
	signer         *Signer
	produced       time.Time
	singles        []SingleResponse
	der, signature []byte
}

// draw reads the statuses and signs them now; the answer is written to room, if there is enough of it.
func (r *Responder) draw(ctx context.Context, is *responderIssuer, ids []CertID, nonce, room []byte) drawn {
	defer r.signing.Add(-1)
	if r.signing.Add(1) > int64(r.cfg.Inflight) {
		return drawn{refused: r.tryLater()}
	}
	now, err := r.clock.read()
	if err != nil {
		r.cfg.Logger.ErrorContext(ctx, "clock went back", slog.Any("err", err))
		return drawn{refused: r.tryLater()}
	}
	now = now.UTC().Truncate(time.Second)
	signer, err := is.usable(now)
	if err != nil {
		r.cfg.Logger.ErrorContext(ctx, "no ocsp signer", slog.String("issuer", is.Name), slog.Any("err", err))
		return drawn{refused: r.tryLater()}
	}
	singles := make([]SingleResponse, len(ids))
	for i := range ids {
		if singles[i], err = r.single(ctx, is, &ids[i], now); err != nil {
			r.cfg.Logger.ErrorContext(ctx, "status not read", slog.String("issuer", is.Name), slog.Any("err", err))
			return drawn{refused: r.tryLater()}
		}
		if expiry := signer.cert.NotAfter; singles[i].NextUpdate.After(expiry) {
			singles[i].NextUpdate = expiry
		}
	}
	der, signature, err := signer.sign(room, now, nonce, singles)
	if err != nil {
		r.cfg.Logger.ErrorContext(ctx, "ocsp answer not signed", slog.String("issuer", is.Name), slog.Any("err", err))
		r.counts.internal.Add(1)
		return drawn{refused: errorReply(Internal)}
	}
	r.counts.signedFor(singles)
	return drawn{signer: signer, produced: now, singles: singles, der: der, signature: signature}
}

// numberOf tells the issuer's signers apart: a signature serves only while the one that made it is the current one.
func (is *responderIssuer) numberOf(s *Signer) uint32 {
	is.mu.Lock()
	defer is.mu.Unlock()
	if is.signer != s {
		is.signer = s
		is.number++
	}
	return is.number
}

// Run renews answers that are asked for before their time is over, one after another, until ctx ends. Without it a request
// that comes too late waits for a signature.
func (r *Responder) Run(ctx context.Context) error {
	tick := time.NewTicker(refreshInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			r.Refresh(ctx)
		}
	}
}

// Refresh renews now what [Responder.Run] would renew.
func (r *Responder) Refresh(ctx context.Context) {
	for k, f := range r.answers.due(r.cfg.Now()) {
		r.refresh(ctx, k, f)
	}
}

func (r *Responder) refresh(ctx context.Context, k answerKey, f *flight) {
	before := f.reply
	f.reply = errorReply(Internal) // stands if signing panics
	defer r.answers.land(k, f)
	ctx, cancel := context.WithTimeout(ctx, flightBudget)
	defer cancel()
	f.reply = r.fly(ctx, r.issuers[k.issuer], k, &before.id, f)
	if f.reply.keep {
		r.counts.refreshed.Add(1)
	}
}

// single looks a status up. thisUpdate lies a little in the past, but not before the
// status began.
func (r *Responder) single(ctx context.Context, is *responderIssuer, id *CertID, now time.Time) (SingleResponse, error) {
	single := SingleResponse{CertID: *id, ThisUpdate: now.Add(-backdate)}
	if r.cfg.AsOf != nil {
		if asOf := r.cfg.AsOf().UTC().Truncate(time.Second); asOf.Before(single.ThisUpdate) {
			single.ThisUpdate = asOf
		}
	}
	single.NextUpdate = single.ThisUpdate.Add(r.cfg.Validity)
	if !single.NextUpdate.After(now) {
		return single, fmt.Errorf("all changes are known up to %v only, want %v at least", single.ThisUpdate, now.Add(-r.cfg.Validity))
	}
	_, mine := is.owns(id)
	if !mine || len(id.Serial) == 0 || len(id.Serial) > maxSerial {
		return single, nil
	}
	st, err := r.cfg.Source.Status(ctx, is.Name, id.Serial)
	if err != nil {
		return single, fmt.Errorf("status of %x: %w", id.Serial, err)
	}
	since := st.Since.UTC().Truncate(time.Second)
	if since.After(now.Add(clockSlack)) {
		return single, fmt.Errorf("status of %x began at %v, the clock says %v: want a clock that is right", id.Serial, since, now)
	}
	if since.After(now) {
		since = now
	}
	if since.After(single.ThisUpdate) {
		single.ThisUpdate, single.NextUpdate = since, since.Add(r.cfg.Validity)
	}
	single.State = st.State
	switch {
	case st.State == Revoked:
		single.Reason, single.RevokedAt, single.Invalidity = st.Reason, st.RevokedAt, st.Invalidity
	case st.State == Unknown && r.cfg.ExtendedRevoke:
		single.State, single.NeverIssued = Revoked, true
		single.Reason, single.RevokedAt = reasonHold, neverIssued
		return single, nil
	}
	if st.State != Unknown {
		r.archive(&single, now)
	}
	return single, nil
}

func (r *Responder) tryLater() *reply {
	r.counts.tryLater.Add(1)
	return errorReply(TryLater)
}
