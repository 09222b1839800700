// Package keystore writes an identity in the forms that browsers, Java and proxies read.
//
// [Encode] makes a PKCS#12 file with key and chain (a browser, Windows, a Java key store), a PKCS#12 file with the
// root alone (a Java trust store), or one PEM file with certificate, issuer and key (HAProxy, Envoy). [File.Write] keeps such a file
// current: call it after every renewal.
//
// # Guarantees
//
//   - A reader finds the old file or the new one, never a part.
//   - A file that holds the key of somebody else, or anything else, is never overwritten.
//   - PKCS#12 is encrypted with AES-256 and PBKDF2, as OpenSSL 1.1.1, Java 12 and NSS 3.50 and later read it.
package keystore
