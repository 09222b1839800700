// Package consumer is the agent of a consumer: it orders, checks what it is offered, signs order and instruction
// with one signature, and confirms. It only calls; nobody calls it.
//
// Call [New] with an agent.Agent and a [Config], then [Consumer.Link], [Consumer.Order], [Consumer.Accept],
// [Consumer.Pay] and [Consumer.Confirm]; the consumer's operator does the same by the control socket.
//
// # Guarantees
//
// Nothing is signed unless the offer says what was ordered: every difference is shown, field by field, and has to be
// agreed to. An instruction is sealed only to a gateway's encryption certificate that was verified and is not revoked. A
// confirmation is answered only for the amount and the payee that were signed.
package consumer
