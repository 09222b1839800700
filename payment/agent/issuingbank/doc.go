// Package issuingbank is the agent of a consumer's bank: it opens instructions, holds and moves money, and
// tells the confirmer what to expect. Its ledger is the only place where a consumer's money moves.
//
// Call [New] with an agent.Agent and a [Config]; the agent's Run then serves POST /authorizations, /transfers, /voids
// and GET /inquiries/{id} for acquiring banks, and POST /links and GET /balance for consumers. The bank's operator opens
// accounts by the control socket. A wallet is the same agent with a certificate of that role.
//
// # Guarantees
//
// There is at most one hold for a payment: the operation, the hold and the signed reply commit together, and a
// void leaves a tombstone that a late authorisation meets. A transfer needs the confirmer's signature
// unless the consumer chose the mode none. Account numbers are encrypted at rest.
package issuingbank
