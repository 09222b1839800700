// Package mtls makes TLS configurations and an HTTP middleware that accept members of a network in the roles that you name, and nobody else.
//
// # What to call first
//
// [Server] and [Client] turn a source of certificates, an [Authorizer] and a
// [StatusChecker] into a *tls.Config. [Handler] does the same check again for every
// HTTP request and puts the peer into its context, where [PeerFrom] finds it;
// [Transport] does it again on the client's side. No handler needs to read r.TLS.
// [Identifier] is the first part of the check alone, for certificates that come by another way than TLS.
//
// # Guarantees
//
// A peer is accepted only if its chain ends at a root of the network, its one
// URI names a role of the network and comes from the CA of that role, its certificate is for this use,
// the Authorizer accepts it, and neither it nor its issuing CA is
// revoked. This holds at every handshake, resumed ones included: the check sits in
// VerifyConnection, because VerifyPeerCertificate is skipped on resumption. With
// Handler and Transport it holds at every request, so that an open
// connection ends with the certificate it was opened with. crypto/tls
// verifies the chain and, in a client, the server's name as well; both must accept.
//
// What is done again: the status of both certificates and the Authorizer are asked each time. That a
// chain passed is remembered, for the very same certificates and only while all of it is valid.
//
// # Refused
//
// TLS before 1.3; a missing Authorizer or StatusChecker: there is no default that lets everybody in.
package mtls
