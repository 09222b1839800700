package agent

import (
	"context"
	"time"

	"github.com/payca/payca/enroll/strictjson"
	"github.com/payca/payca/ocsp"
	"github.com/payca/payca/payment"
	"github.com/payca/payca/policy"
)

// A Message is what agents send each other: objects by kind, as they were signed or sealed.
type Message map[payment.Kind]string

// An Exchange collects the objects of one piece of work, those received and those made, so that [Tx.Keep] can
// keep them in the commit that acts on them. One goroutine uses it.
type Exchange struct {
	agent   *Agent
	peer    string // identity URI of the other side, "" for none
	records []Record
}

// Exchange begins a piece of work; peer is the identity URI of the other side.
func (a *Agent) Exchange(peer string) *Exchange { return &Exchange{agent: a, peer: peer} }

// Open reads the object of the kind of body from a message, checks it, and remembers it. It must be meant for this agent.
func (x *Exchange) Open(ctx context.Context, m Message, kind payment.Kind, body payment.Body) (payment.Object, policy.Identity, error) {
	return x.open(ctx, m, kind, body, x.agent.uri)
}

// OpenFor is Open for an object that may be meant for others.
func (x *Exchange) OpenFor(ctx context.Context, m Message, kind payment.Kind, body payment.Body) (payment.Object, policy.Identity, error) {
	return x.open(ctx, m, kind, body, "")
}

func (x *Exchange) open(ctx context.Context, m Message, kind payment.Kind, body payment.Body, self string) (payment.Object, policy.Identity, error) {
	object := payment.Object(m[kind])
	if object == "" {
		return "", policy.Identity{}, payment.Refuse(payment.BadJSON, "message."+string(kind), "missing", "a "+string(kind))
	}
	var verdict ocsp.Verdict
	verifier := payment.Verifier{
		Self: self, Now: x.agent.cfg.Now,
		Resolve: func(ctx context.Context, thumbprint string) (peer *policy.Peer, err error) {
			peer, verdict, err = x.agent.signer(ctx, thumbprint)
			return peer, err
		},
	}
	x.agent.counters.verified.Add(1)
	peer, err := verifier.Open(ctx, object, body)
	if err != nil {
		return "", policy.Identity{}, err
	}
	x.records = append(x.records, Record{
		Payment: payment.IDOf(body), Kind: kind, Direction: Received, Signer: peer.Identity.String(), Serial: peer.Leaf.SerialNumber.Text(16),
		Peer: x.peer, Status: verdict.State.String() + " by " + verdict.Source, Time: x.agent.Now(), Object: string(object),
	})
	return object, peer.Identity, nil
}

// Reopen reads an object that the agent verified, or signed, and kept before: the signature is not verified again, but who
// signed it must still be believed.
func (a *Agent) Reopen(ctx context.Context, object string, body payment.Body) (payment.Object, policy.Identity, error) {
	o := payment.Object(object)
	_, thumbprint := payment.KindOf(o)
	peer, _, err := a.signer(ctx, thumbprint)
	if err != nil {
		return "", policy.Identity{}, err
	}
	return o, peer.Identity, payment.Read(o, body)
}

// Known reports whether an object of a payment is kept already, and thus was verified.
func (a *Agent) Known(id string, object payment.Object) bool {
	err := a.Read(func(tx *Tx) error {
		if !tx.has(id, object) {
			return ErrNotFound
		}
		return nil
	})
	return err == nil
}

// Sealed remembers a sealed object of a message.
func (x *Exchange) Sealed(id string, m Message, kind payment.Kind) (payment.Sealed, error) {
	sealed := payment.Sealed(m[kind])
	if sealed == "" {
		return "", payment.Refuse(payment.BadJSON, "message."+string(kind), "missing", "a sealed "+string(kind))
	}
	to, err := payment.SealedTo(kind, sealed)
	if err != nil {
		return "", err
	}
	x.records = append(x.records, Record{
		Payment: id, Kind: kind, Direction: Received, SealedTo: to, Peer: x.peer, Time: x.agent.Now(), Object: string(sealed),
	})
	return sealed, nil
}

// MadeSealed remembers an object that the agent sealed to a party.
func (x *Exchange) MadeSealed(id string, kind payment.Kind, sealed payment.Sealed, recipient string) {
	to, _ := payment.SealedTo(kind, sealed) // it was made here
	x.records = append(x.records, Record{
		Payment: id, Kind: kind, Direction: Made, SealedTo: to, Peer: recipient, Time: x.agent.Now(), Object: string(sealed),
	})
}

// Sign completes the times of a body, which then is valid for life, signs and remembers it.
func (x *Exchange) Sign(body payment.Body, life time.Duration) (payment.Object, error) {
	signer, err := x.agent.Signer()
	if err != nil {
		return "", err
	}
	payment.Stamp(body, x.agent.Now(), life)
	object, err := payment.Sign(signer, body)
	if err != nil {
		return "", err
	}
	x.agent.counters.signed.Add(1)
	x.records = append(x.records, Record{
		Payment: payment.IDOf(body), Kind: payment.KindName(body), Direction: Made, Signer: x.agent.uri, Peer: payment.FirstReader(body),
		Time: x.agent.Now(), Object: string(object),
	})
	return object, nil
}

// Keep keeps what the exchange remembers, each object once.
func (tx *Tx) Keep(x *Exchange) error { return tx.Save(x.records...) }

// readMessage reads a message strictly; only known kinds may be in it.
func readMessage(data []byte) (Message, error) {
	m, err := strictjson.Texts[payment.Kind](data)
	if err != nil {
		return nil, payment.BadJSONError("message", err)
	}
	for kind := range m {
		if kind.Signers() == nil && kind != payment.KindInstruction && kind != payment.KindExpect {
			return nil, payment.Refuse(payment.BadJSON, "message", "with a member \""+clip(string(kind))+"\"", "kinds of objects")
		}
	}
	return m, nil
}

func clip(s string) string { return s[:min(len(s), 40)] }

// Empty reports whether the exchange has nothing to keep.
func (x *Exchange) Empty() bool { return len(x.records) == 0 }

// Note marks the objects remembered so far with the operation that they belong to.
func (x *Exchange) Note(note string) {
	for i := range x.records {
		x.records[i].Note = note
	}
}
