// Package enroll gets a party its certificate and keeps it fresh. Most programs need only [Source] and package mtls.
//
// [Enroll] takes a one-time token and leaves an identity directory: key,
// certificate, root and where they came from. [OpenSource] opens one for a
// running program and [Source.Run] renews it at two thirds of its life. [OpenEncryption] gets and keeps the
// party's certificate for encryption; [FetchCertificate] finds that of another by its [Thumbprint].
//
// # Guarantees
//
//   - The private key is made here and never leaves.
//   - Key and certificate change together: a crash at any point leaves the old pair or the new one.
//   - Several processes may look after one directory: its lock lets one of them enroll or renew.
//   - A key is never overwritten; one that was replaced is removed only after its successor is in place,
//     and one that others sealed to only 7 days later.
//   - Nothing is trusted but the root whose fingerprint the token names.
//   - [Enroll] can be repeated: it enrolls, keeps, or renews.
//
// The package knows the CA only as a server; it never imports it.
package enroll
