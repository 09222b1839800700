package ca

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"fmt"
	"hash"
)

// An Issuer is an issuing CA: its certificate, and the key that only the gate uses.
type Issuer struct {
	Name        string            // as in policy.CAs
	Certificate *x509.Certificate // signed by the root
	Signer      crypto.Signer     // its key
}

// check says why the root's verifiers would not accept what the issuer signs.
func (in Issuer) check(root *x509.Certificate) error {
	if in.Certificate == nil || in.Signer == nil {
		return errors.New("certificate or key is missing")
	}
	c := in.Certificate
	if err := c.CheckSignatureFrom(root); err != nil {
		return fmt.Errorf("not signed by the root: %w", err)
	}
	if !bytes.Equal(c.RawIssuer, root.RawSubject) {
		return fmt.Errorf("certificate names issuer %q, want the root, %q", c.Issuer, root.Subject)
	}
	if !c.IsCA || c.KeyUsage&x509.KeyUsageCertSign == 0 || c.KeyUsage&x509.KeyUsageCRLSign == 0 {
		return errors.New("want a CA certificate with keyCertSign and cRLSign")
	}
	if len(c.SubjectKeyId) == 0 {
		return errors.New("certificate has no subject key identifier")
	}
	if !equalKeys(c.PublicKey, in.Signer.Public()) {
		return errors.New("key does not match the certificate")
	}
	return nil
}

// equalKeys compares public keys of any of the kinds that crypto/x509 knows.
func equalKeys(a, b crypto.PublicKey) bool {
	k, ok := a.(interface{ Equal(crypto.PublicKey) bool })
	return ok && k.Equal(b)
}

// An issuer is an Issuer with what its certificates have in common.
type issuer struct {
	name        string
	cert        *x509.Certificate
	signer      crypto.Signer
	algorithm   []byte // AlgorithmIdentifier of its signatures, DER
	placeholder []byte // a signature of a key of the same kind that was thrown away, over nothing of interest; see lintCopy
}

func newIssuer(in Issuer) (*issuer, error) {
	is := &issuer{name: in.Name, cert: in.Certificate, signer: in.Signer}
	var err error
	if is.algorithm, err = algorithmIdentifier(in.Certificate.PublicKey); err != nil {
		return nil, err
	}
	key, err := sameKind(in.Certificate.PublicKey)
	if err != nil {
		return nil, fmt.Errorf("making a throw-away key: %w", err)
	}
	m, err := newMessage(key.Public())
	if err != nil {
		return nil, err
	}
	if is.placeholder, err = m.sign(key); err != nil {
		return nil, fmt.Errorf("signing with a throw-away key: %w", err)
	}
	return is, nil
}

// sameKind makes a key with the algorithm and size of pub.
func sameKind(pub crypto.PublicKey) (crypto.Signer, error) {
	switch k := pub.(type) {
	case *ecdsa.PublicKey:
		return ecdsa.GenerateKey(k.Curve, rand.Reader)
	case ed25519.PublicKey:
		_, key, err := ed25519.GenerateKey(rand.Reader)
		return key, err
	case *rsa.PublicKey:
		return rsa.GenerateKey(rand.Reader, k.N.BitLen())
	}
	return nil, fmt.Errorf("key type %T, want ECDSA, Ed25519 or RSA", pub)
}

// sign signs tbs with the issuer's key and verifies the result.
func (is *issuer) sign(tbs []byte) ([]byte, error) {
	m, err := newMessage(is.cert.PublicKey)
	if err != nil {
		return nil, err
	}
	_, _ = m.Write(tbs) // never fails
	return is.signMessage(m)
}

// signMessage signs with the issuer's key. A signer that fails, as a
// hardware module does whose session died, is asked once more.
func (is *issuer) signMessage(m *message) ([]byte, error) {
	sig, err := m.sign(is.signer)
	if err != nil {
		var again error
		if sig, again = m.sign(is.signer); again != nil {
			return nil, fmt.Errorf("signing with the key of the %s CA, twice: %w", is.name, errors.Join(err, again))
		}
	}
	return sig, nil
}

// A message is what a key is to sign, as it is written: its hash, or all of it for a key that signs no hash.
type message struct {
	key   crypto.PublicKey
	hash  crypto.Hash
	sum   hash.Hash
	whole []byte
}

// newMessage begins a message for a key.
func newMessage(key crypto.PublicKey) (*message, error) {
	_, h, err := signatureAlgorithm(key)
	if err != nil {
		return nil, err
	}
	m := &message{key: key, hash: h}
	if h != 0 {
		m.sum = h.New()
	}
	return m, nil
}

// Write implements io.Writer and never fails.
func (m *message) Write(p []byte) (int, error) {
	if m.sum != nil {
		return m.sum.Write(p)
	}
	m.whole = append(m.whole, p...)
	return len(p), nil
}

// sign signs as the key does everywhere: with [signatureAlgorithm]. No signature
// leaves that the key does not verify.
func (m *message) sign(signer crypto.Signer) ([]byte, error) {
	digest := m.whole
	if m.sum != nil {
		digest = m.sum.Sum(nil)
	}
	sig, err := signer.Sign(rand.Reader, digest, m.hash)
	if err != nil {
		return nil, err
	}
	ok := false
	switch key := m.key.(type) {
	case *ecdsa.PublicKey:
		ok = ecdsa.VerifyASN1(key, digest, sig)
	case ed25519.PublicKey:
		ok = ed25519.Verify(key, digest, sig)
	case *rsa.PublicKey:
		ok = rsa.VerifyPKCS1v15(key, m.hash, digest, sig) == nil
	}
	if !ok {
		return nil, errors.New("the signature does not verify")
	}
	return sig, nil
}

// signatureAlgorithm returns the one algorithm that we use with a kind of key.
func signatureAlgorithm(pub crypto.PublicKey) (x509.SignatureAlgorithm, crypto.Hash, error) {
	switch k := pub.(type) {
	case *ecdsa.PublicKey:
		switch bits := k.Curve.Params().BitSize; bits {
		case 256:
			return x509.ECDSAWithSHA256, crypto.SHA256, nil
		case 384:
			return x509.ECDSAWithSHA384, crypto.SHA384, nil
		default:
			return 0, 0, fmt.Errorf("elliptic curve of %d bits, want P-256 or P-384", bits)
		}
	case ed25519.PublicKey:
		return x509.PureEd25519, crypto.Hash(0), nil
	case *rsa.PublicKey:
		return x509.SHA256WithRSA, crypto.SHA256, nil
	}
	return 0, 0, fmt.Errorf("key type %T, want ECDSA, Ed25519 or RSA", pub)
}
