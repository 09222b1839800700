// Package merchant is the agent of a merchant: it offers, takes acceptances, asks the gateway for the
// money, ships and captures. It never sees account data.
//
// Call [New] with an agent.Agent and a [Config]; the agent's Run then serves GET /catalogue, POST /orders,
// /orders/{id}/amend, /orders/{id}/accept and /orders/{id}/delivered and GET /orders/{id} for consumers, and POST
// /results for the gateway. The merchant's own operator lists, revises, ships, captures and voids by the
// control socket.
//
// # Guarantees
//
// An offer is accepted in its newest revision only, once, by the consumer to whom it was made. Goods
// are shipped only on a result with the issuing bank's approval of this payment. A capture is written down before it is
// sent, and sent until it is answered.
package merchant
