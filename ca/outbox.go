package ca

import (
	"context"
	"iter"
	"time"

	"github.com/payca/payca/policy"
)

// The states of a [Message].
const (
	MessageWaiting  = "waiting"  // to be sent at Next
	MessageSending  = "sending"  // being sent; after a crash nobody knows whether it was
	MessageSent     = "sent"     // the other side took it
	MessageFailed   = "failed"   // the other side will never take it
	MessageDoubtful = "doubtful" // perhaps sent, and not sent again
	MessageNeedless = "needless" // what it told of was renewed or revoked before it could be sent
)

// A Message tells people of certificates, or of a request.
type Message struct {
	ID       uint64        `json:"id"`              // from 1; the store gives it
	Target   string        `json:"target"`          // how it is sent: mail, webhook
	Topic    string        `json:"topic"`           // what it is about: "expires within 7d"
	Items    []MessageItem `json:"items"`           // the certificates
	Created  time.Time     `json:"created"`         //
	State    string        `json:"state"`           // one of MessageWaiting and so on
	Attempts int           `json:"attempts"`        // that were begun
	Next     time.Time     `json:"next"`            // not sent before
	Changed  time.Time     `json:"changed"`         // when State was reached
	Doubt    bool          `json:"doubt,omitempty"` // an attempt was perhaps taken: Items stay as they are
	Error    string        `json:"error,omitempty"` // of the last attempt
}

// Settled reports whether nothing will be done about a message any more.
func (m Message) Settled() bool {
	return m.State != MessageWaiting && m.State != MessageSending
}

// A MessageItem is a certificate that a message tells of, or a request that waits for approvers.
type MessageItem struct {
	Serial   Serial      `json:"serial,omitzero"`
	Party    string      `json:"party"`
	Role     policy.Role `json:"role,omitempty"`
	Profile  string      `json:"profile,omitempty"`
	Request  string      `json:"request,omitempty"` // id of the request
	Asks     string      `json:"asks,omitempty"`    // its kind
	NotAfter time.Time   `json:"not_after"`
}

// Outbox is the messages to people. That a certificate was told of stays known until
// it has ended, whatever becomes of the message.
type Outbox interface {
	// AddMessage keeps a message with those of its items of which no message to the same target
	// with the same topic told before, and returns it. If there are none, nothing is kept and the ID is 0.
	AddMessage(ctx context.Context, m Message) (Message, error)
	// SetMessage replaces the message with that ID; ErrNotFound.
	SetMessage(ctx context.Context, m Message) error
	// Messages yields the messages in a state by ascending ID, without reading others; with "" those in any.
	Messages(ctx context.Context, state string) iter.Seq2[Message, error]
	// CountMessages returns how many messages are in each state, without reading them.
	CountMessages(ctx context.Context) (map[string]int, error)
	// ForgetMessages deletes at most limit of: messages that were settled before the given time, and notes of
	// certificates that ended before it. It returns how many.
	ForgetMessages(ctx context.Context, before time.Time, limit int) (int, error)
}
