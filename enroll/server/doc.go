// Package server is the front end through which parties get certificates:
// with a one-time token, and by renewal over mutual TLS, over which they also get
// certificates for encryption. It authenticates a requester and hands the request to a [Gate], which
// decides; it knows no CA.
//
// Routes of [New]: POST /v1/enroll, POST /v1/renew, POST /v1/issue, GET /v1/roots, GET
// /roots.pem; of [NewDirectory]: GET /certs/{thumbprint}. What is not listed does not exist.
// Errors are RFC 9457 documents.
package server
