// Package gateway is the agent of a payment gateway: the bridge between merchants and consumers on one side and the
// banks on the other. It holds the authoritative state of each payment.
//
// Call [New] with an agent.Agent and a [Config]; the agent's Run then serves POST /payments, GET /payments/{id} and POST
// /payments/{id}/instruction, /confirmed, /capture and /void. An aggregator is the same agent with a
// certificate of that role.
//
// # Guarantees
//
// What is to be done is written down before it is sent, and sent until it is answered. If the banks do not answer
// an authorisation in time the gateway asks what became of it, and if that does not help reverses it: a
// payment is never failed and held, nor paid twice. The instruction is open only while it is sealed again.
package gateway
