// Package api is the /v1 HTTP API of a CA and its client: parties, tokens,
// certificates, revocations, requests for approval and the audit log, as JSON over mutual TLS.
//
// [Endpoints] lists what there is; who may call it is data of the configuration. Unless that says something else operators
// may do everything, auditors may read everything, and every other
// party may see and revoke its own certificates. What waits for approvers is answered by 202. Errors are RFC 9457
// documents (docs/errors.md). Lists are paged with the cursor that each page
// carries in "next".
package api
