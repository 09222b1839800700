// Package agent is what the parties of a payment have in common: a store with its log, a listener that
// knows who calls, operations that can be repeated, work that survives a crash.
//
// # What to call first
//
// [New] makes an [Agent] from a certificate source and a directory. A role registers its routes with
// [Agent.Get] and [Agent.Post] and its durable work with [Agent.Handle]; [Agent.Run] serves until its
// context ends.
//
// # Guarantees
//
//   - A caller is identified at every request by its certificate, and may call only what its role may.
//   - An operation has the key id/operation/number. The same key with the same bytes from the same party gets the
//     stored reply; other bytes get 422, another party 404.
//   - [Agent.Write] commits state, money, objects, the stored reply and the log together, or nothing.
//   - Each object received or sent is a leaf of the agent's Merkle log. The leaf holds a salted
//     commitment, so that the object can be erased and the log still verifies.
//   - A job that was scheduled is tried until it is done, across restarts.
//
// # Standards
//
// RFC 9457 for refusals; draft-ietf-httpapi-idempotency-key-header for the header; package ca/audit for the log.
package agent
