// Package mtls turns a certificate source, an authorizer and a status check
// into mutual TLS: *tls.Config for servers and clients, and the identity
// middleware for what happens after the handshake.
//
//	conf, err := mtls.Server(source, mtls.AuthorizeRole(policy.Merchant), checker)
//	listener, err := tls.Listen("tcp", ":9443", conf)
//	err = http.Serve(listener, mtls.Handler(…))
//
// # Guarantees
//
//   - TLS 1.3 only, and both sides show a certificate.
//   - crypto/tls verifies the chain; on top of it the peer is identified by
//     policy.Trust.Identify, authorized, and its status and its issuer's are asked for.
//   - The checks sit in VerifyConnection, so a resumed session passes them again.
//   - [Handler] and [Transport] repeat them at every request, so an open
//     connection ends with the certificate it was opened with.
//   - There is no default authorizer: who may connect is always said.
package mtls
