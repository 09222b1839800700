// Package confirmer is the agent of the payment confirmation system: it asks the consumer whether it wants a
// payment, and compares the answer with what the issuing bank told it to expect.
//
// Call [New] with an agent.Agent; the agent's Run then serves POST /confirmations for gateways, and GET
// /confirmations and POST /confirmations/{id}/answer for consumers.
//
// # Guarantees
//
// Exactly one of confirmed, rejected and expired is ever signed for a payment. The confirmer never holds
// the secret that consumer and bank share, nor an account number; codes are compared in constant time.
package confirmer
