// Package notice tells people by mail and webhook of certificates that end soon.
//
// Call [New] with a [Config], then [Notifier.Run]. Every hour it looks for valid certificates that end within a threshold
// and have no successor, and puts a message for each target into the store's outbox; it sends what is there.
//
// # Guarantees
//
// A target is told of a certificate once for each threshold, whatever crashes: the outbox knows of whom was told. A
// message is marked before it is sent. One that the other side certainly did not take is sent again, ever more slowly, for a
// day. A mail that was perhaps taken, because the connection or the process ended in between, is not sent again; it
// counts as doubtful and [Health] shows it. A webhook is repeated then, with the same Idempotency-Key, by which
// the receiver knows it.
//
// # Standards
//
// RFC 5321 (SMTP), RFC 3207 (STARTTLS), RFC 4954 (AUTH), RFC 5322 (messages), RFC 3834 (Auto-Submitted).
package notice
