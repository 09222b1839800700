// Package est is the door for devices: Enrollment over Secure Transport (RFC 7030, with the errata of RFC 8951 and the attributes
// of RFC 9908), in front of the same [server.Gate] as the token door.
//
// A label in the path is the name of a profile: /.well-known/est/gateway/simpleenroll.
//
//	cacerts         the issuing CA of the label's role, or all of them, and the root
//	simpleenroll    party and token by HTTP Basic, or the certificate of the party
//	simplereenroll  the certificate that is being replaced, with the same key or a new one
//	csrattrs        the kind of key that the profile of the label wants, 204 without a label
//	serverkeygen    key and certificate, where the profile of the label allows that
//	fullcmc         501
//
// What is sent is strict: base64 without line breaks, a certs-only PKCS #7, the leaf alone. What is read may be base64 with any white
// space, PEM or DER, of any media type. Refusals are text/plain. The identity of a certificate comes from the registry: a request
// can ask for fewer names, never for other ones. Channel binding (tls-unique) does not exist in TLS 1.3 and is not offered.
package est
