// Package server is the front end through which parties get certificates:
// with a one-time token, and by renewal over mutual TLS, over which they also get
// certificates for encryption. It authenticates a requester and hands the request to a [Gate], which
// decides; it knows no CA.
//
// [Endpoints] lists the routes of [New]; who may call them is the configuration's. What waits for
// approvers is answered by 202. [NewDirectory] has GET /certs/{thumbprint}, for everybody. What is not listed does not exist.
// Errors are RFC 9457 documents.
package server
