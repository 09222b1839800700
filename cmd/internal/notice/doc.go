// Package notice tells people by mail and webhook of certificates that end soon, and of requests that wait for approvers.
//
// Call [New] with a [Config], then [Notifier.Run]. Every hour it looks for valid certificates that end within a threshold
// and have no successor, and puts a message for each target into the store's outbox; it sends what is there.
//
// # Guarantees
//
// A target is told of a certificate once for each threshold, whatever crashes: the outbox knows who was told of what. A
// message is marked before it is sent. One that the other side certainly did not take is sent again, ever more slowly, up to
// once an hour, until its certificates have ended; before each attempt those that were renewed or revoked meanwhile are
// taken out. No protocol can tell whether the other side took a message when the connection or the process ended before
// its answer was kept. A mail is not sent again then: it is in doubt, and [Health] shows it. A webhook is
// repeated, the same to the octet, with the same Idempotency-Key, by which its receiver knows it.
//
// A store that is restored from a copy does not know what was sent after the copy was made, and sends it again.
//
// # Standards
//
// RFC 5321 (SMTP), RFC 3207 (STARTTLS), RFC 4954 (AUTH), RFC 5322 (messages), RFC 3834 (Auto-Submitted).
package notice
