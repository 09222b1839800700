// Package api is the /v1 HTTP API of a CA and its client: parties, tokens,
// certificates, revocations and the audit log, as JSON over mutual TLS.
//
// Operators may do everything, auditors may read everything, and every other
// party may see and revoke its own certificates. Errors are RFC 9457
// documents (docs/errors.md). Lists are paged with the cursor that each page
// carries in "next".
package api
