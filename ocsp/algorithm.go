package ocsp

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	_ "crypto/sha1" //nolint:gosec // CertIDs of RFC 6960 use SHA-1; nothing is signed with it
	_ "crypto/sha256"
	_ "crypto/sha512"
	"crypto/x509"
	"encoding/asn1"
	"fmt"

	"golang.org/x/crypto/cryptobyte"
	casn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// A SignatureAlgorithm says how a key signs: the hash, 0 for Ed25519, and the
// AlgorithmIdentifier in DER.
type SignatureAlgorithm struct {
	Hash       crypto.Hash
	Identifier []byte
	algorithm  x509.SignatureAlgorithm
}

type signatureOID struct {
	algorithm x509.SignatureAlgorithm
	hash      crypto.Hash
	oid       asn1.ObjectIdentifier
	null      bool // the parameters are NULL, not absent
}

// signatureOIDs are the algorithms that answers and CRLs may be signed with.
func signatureOIDs() []signatureOID {
	return []signatureOID{
		{x509.ECDSAWithSHA256, crypto.SHA256, asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 2}, false},
		{x509.ECDSAWithSHA384, crypto.SHA384, asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 3}, false},
		{x509.ECDSAWithSHA512, crypto.SHA512, asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 4}, false},
		{x509.SHA256WithRSA, crypto.SHA256, asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 11}, true},
		{x509.SHA384WithRSA, crypto.SHA384, asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 12}, true},
		{x509.SHA512WithRSA, crypto.SHA512, asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 13}, true},
		{x509.PureEd25519, 0, asn1.ObjectIdentifier{1, 3, 101, 112}, false},
	}
}

// SignatureAlgorithmFor returns the algorithm with which a key of this kind signs:
// ECDSA with the hash of the curve's size, RSA with SHA-256, Ed25519.
func SignatureAlgorithmFor(public crypto.PublicKey) (SignatureAlgorithm, error) {
	var want x509.SignatureAlgorithm
	switch key := public.(type) {
	case *ecdsa.PublicKey:
		switch key.Curve {
		case elliptic.P256():
			want = x509.ECDSAWithSHA256
		case elliptic.P384():
			want = x509.ECDSAWithSHA384
		case elliptic.P521():
			want = x509.ECDSAWithSHA512
		}
	case *rsa.PublicKey:
		want = x509.SHA256WithRSA
	case ed25519.PublicKey:
		want = x509.PureEd25519
	}
	for _, known := range signatureOIDs() {
		if known.algorithm != want {
			continue
		}
		var b cryptobyte.Builder
		b.AddASN1(casn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1ObjectIdentifier(known.oid)
			if known.null {
				b.AddASN1NULL()
			}
		})
		der, err := b.Bytes()
		return SignatureAlgorithm{Hash: known.hash, Identifier: der, algorithm: want}, err
	}
	return SignatureAlgorithm{}, fmt.Errorf("signing with %T: want ECDSA P-256, P-384 or P-521, RSA, or Ed25519", public)
}

// sign signs a message, hashing it first where the algorithm does.
func (a SignatureAlgorithm) sign(key crypto.Signer, message []byte) ([]byte, error) {
	if a.Hash == 0 {
		return key.Sign(rand.Reader, message, crypto.Hash(0))
	}
	h := a.Hash.New()
	h.Write(message)
	return key.Sign(rand.Reader, h.Sum(nil), a.Hash)
}

// readAlgorithm reads an AlgorithmIdentifier of a signature.
func readAlgorithm(s *cryptobyte.String) (x509.SignatureAlgorithm, bool) {
	var seq cryptobyte.String
	var oid asn1.ObjectIdentifier
	if !s.ReadASN1(&seq, casn1.SEQUENCE) || !seq.ReadASN1ObjectIdentifier(&oid) {
		return 0, false
	}
	for _, known := range signatureOIDs() {
		if known.oid.Equal(oid) {
			return known.algorithm, true
		}
	}
	return x509.UnknownSignatureAlgorithm, true
}

type hashOID struct {
	hash crypto.Hash
	oid  asn1.ObjectIdentifier
}

// hashOIDs are the hashes of CertIDs.
func hashOIDs() []hashOID {
	return []hashOID{
		{crypto.SHA1, asn1.ObjectIdentifier{1, 3, 14, 3, 2, 26}},
		{crypto.SHA256, asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 1}},
		{crypto.SHA384, asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 2}},
		{crypto.SHA512, asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 3}},
	}
}

func hashOf(h crypto.Hash, data []byte) []byte {
	d := h.New()
	d.Write(data)
	return d.Sum(nil)
}

// publicKeyBits returns the content of the BIT STRING of a
// SubjectPublicKeyInfo, over which issuerKeyHash and key identifiers go.
func publicKeyBits(spki []byte) ([]byte, error) {
	s := cryptobyte.String(spki)
	var seq cryptobyte.String
	var bits asn1.BitString
	if !s.ReadASN1(&seq, casn1.SEQUENCE) || !seq.SkipASN1(casn1.SEQUENCE) || !seq.ReadASN1BitString(&bits) {
		return nil, fmt.Errorf("reading a SubjectPublicKeyInfo of %d octets: not one", len(spki))
	}
	return bits.RightAlign(), nil
}
