// Package node is a status node: it answers OCSP and serves CRLs for a CA from another machine, without any key of the CA.
//
// # What to call first
//
// [Open] reads what the node has from its directory, and asks the CA for the rest; [Node.Serve] answers until its context ends.
//
// # Guarantees
//
// A change of a status is answered as soon as the CA's feed has brought it and a checkpoint of the CA proves it. An answer says as
// thisUpdate no later than that checkpoint. Without the CA the node goes on, also over a restart, until answers as of the
// last checkpoint would be over; then it says tryLater. A certificate that no signed page of the CA names is unknown.
//
// # What is refused
//
// Pages, changes and lists that the CA did not sign, lists older than the one that is served, and, before everything that was ever issued has
// been read once, every question.
package node
