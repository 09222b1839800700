// Package weakkeys finds public keys in lists of keys whose private key everybody can know.
//
// Call [Read] for each file and give [Finder] the lists. The best known are the keys that OpenSSL and OpenSSH made on Debian from
// 2006 to 2008 (CVE-2008-0166): some hundred thousand for each size.
//
// # The form of a list
//
// Text, one fingerprint a line, hexadecimal; lines that begin with # are comments. A line of 20 digits is the last 80 bits of the SHA-1
// of what `openssl rsa -noout -modulus` prints, which is the form of the files blacklist.RSA-2048 and so on in Debian's package
// openssl-blacklist. A line of 64 digits is a SHA-256: of the octets of an RSA modulus, of the X coordinate of a point, or of a
// SubjectPublicKeyInfo.
//
// # Guarantees
//
// A list holds 10 octets in memory for each line of 20 digits and 16 for each of 64, and is searched in the time of
// twenty comparisons. A sound key is taken for a listed one with a chance of less than one in 2^58 for a list of a million.
package weakkeys
