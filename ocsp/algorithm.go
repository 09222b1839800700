package ocsp

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"fmt"
)

// Complete AlgorithmIdentifiers, DER (RFC 3279, 4055, 5758, 8410).
const (
	derECDSAWithSHA256 = "\x30\x0a\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x02"
	derECDSAWithSHA384 = "\x30\x0a\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x03"
	derECDSAWithSHA512 = "\x30\x0a\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x04"
	derSHA256WithRSA   = "\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0b\x05\x00"
	derSHA384WithRSA   = "\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0c\x05\x00"
	derSHA512WithRSA   = "\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0d\x05\x00"
	derEd25519         = "\x30\x05\x06\x03\x2b\x65\x70"
)

// A SignatureAlgorithm is how a key signs answers and lists.
type SignatureAlgorithm struct {
	DER  []byte      // the AlgorithmIdentifier
	Hash crypto.Hash // hash of the signed bytes; 0 if the bytes themselves are signed (Ed25519)
}

// SignatureAlgorithmFor chooses the algorithm that fits a public key: P-256, P-384,
// Ed25519, or RSA of at least 2048 bits (PKCS #1 v1.5, SHA-256).
func SignatureAlgorithmFor(key crypto.PublicKey) (SignatureAlgorithm, error) {
	switch key := key.(type) {
	case *ecdsa.PublicKey:
		switch key.Curve {
		case elliptic.P256():
			return SignatureAlgorithm{DER: []byte(derECDSAWithSHA256), Hash: crypto.SHA256}, nil
		case elliptic.P384():
			return SignatureAlgorithm{DER: []byte(derECDSAWithSHA384), Hash: crypto.SHA384}, nil
		}
		return SignatureAlgorithm{}, fmt.Errorf("key %s: want P-256 or P-384", key.Params().Name)
	case ed25519.PublicKey:
		return SignatureAlgorithm{DER: []byte(derEd25519)}, nil
	case *rsa.PublicKey:
		if key.N.BitLen() < 2048 {
			return SignatureAlgorithm{}, fmt.Errorf("key RSA-%d: want at least RSA-2048", key.N.BitLen())
		}
		return SignatureAlgorithm{DER: []byte(derSHA256WithRSA), Hash: crypto.SHA256}, nil
	}
	return SignatureAlgorithm{}, fmt.Errorf("key %T: want P-256, P-384, Ed25519 or RSA", key)
}

// Sign signs message with a key of the kind that the algorithm was chosen for. An ECDSA key in memory signs by RFC 6979: the
// nonce comes from key and message, which takes a quarter less than drawing it, and no generator can spoil it.
func (a SignatureAlgorithm) Sign(key crypto.Signer, message []byte) ([]byte, error) {
	if a.Hash == 0 {
		return key.Sign(rand.Reader, message, crypto.Hash(0))
	}
	random := rand.Reader
	if _, here := key.(*ecdsa.PrivateKey); here {
		random = nil // so says ecdsa.PrivateKey.Sign
	}
	return key.Sign(random, digest(a.Hash, message), a.Hash)
}

// checkSignature verifies a signature made with the algorithm of the given
// AlgorithmIdentifier against the key of cert.
func checkSignature(algorithm, message, signature []byte, cert *x509.Certificate) error {
	var alg x509.SignatureAlgorithm
	switch string(algorithm) {
	case derECDSAWithSHA256:
		alg = x509.ECDSAWithSHA256
	case derECDSAWithSHA384:
		alg = x509.ECDSAWithSHA384
	case derECDSAWithSHA512:
		alg = x509.ECDSAWithSHA512
	case derSHA256WithRSA:
		alg = x509.SHA256WithRSA
	case derSHA384WithRSA:
		alg = x509.SHA384WithRSA
	case derSHA512WithRSA:
		alg = x509.SHA512WithRSA
	case derEd25519:
		alg = x509.PureEd25519
	default:
		return fmt.Errorf("signature algorithm %x: want ECDSA or RSA PKCS #1 v1.5 with SHA-2, or Ed25519", algorithm)
	}
	return cert.CheckSignature(alg, message, signature)
}
