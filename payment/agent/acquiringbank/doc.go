// Package acquiringbank is the agent of a merchant's bank: it checks the dual signature without knowing the
// account, passes authorisations and transfers to the issuing bank, and books what merchants earn.
//
// Call [New] with an agent.Agent; the agent's Run then serves POST /authorizations, /transfers, /voids and GET
// /inquiries/{id} for gateways, and POST /merchants and GET /balance for merchants. It never sees account data or
// goods: it reads digests and passes sealed objects on.
package acquiringbank
