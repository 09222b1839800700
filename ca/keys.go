package ca

import (
	"context"
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"

	"go.step.sm/crypto/kms/apiv1"
	"go.step.sm/crypto/pemutil"
)

// ErrPassphrase says that an encrypted key does not open: the passphrase is another, or the file is damaged.
var ErrPassphrase = errors.New("wrong passphrase, or a damaged key file")

// encryptedKey is the PEM type of a PKCS#8 EncryptedPrivateKeyInfo (RFC 7468 section 11).
const encryptedKey = "ENCRYPTED PRIVATE KEY"

// A Keyring seals private keys with one passphrase and opens them again. The slow derivation of
// the key-encryption key runs once per salt, and all that one keyring seals shares a salt, the
// first that it meets: so opening all keys of a CA costs one derivation. It is safe for
// concurrent use.
type Keyring struct {
	passphrase []byte

	mu      sync.Mutex
	derived map[string][]byte // salt and rounds -> key-encryption key
	own     *kdf              // what Seal uses; nil before the first Seal or Open
}

// NewKeyring returns a keyring with a copy of the passphrase, which must not be empty.
func NewKeyring(passphrase []byte) (*Keyring, error) {
	if len(passphrase) == 0 {
		return nil, errors.New("passphrase is empty")
	}
	return &Keyring{passphrase: slices.Clone(passphrase), derived: make(map[string][]byte)}, nil
}

// Seal returns the key as PEM "ENCRYPTED PRIVATE KEY": PKCS#8 with PBES2, PBKDF2-HMAC-SHA-256 of 600,000
// rounds and AES-256-CBC, as `openssl pkey` reads it. Keys that live in hardware cannot be sealed.
func (r *Keyring) Seal(key crypto.Signer) ([]byte, error) {
	plain, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("sealing a key: %w", err)
	}
	params, kek, err := r.sealingKey()
	if err != nil {
		return nil, fmt.Errorf("sealing a key: %w", err)
	}
	der, err := encryptPKCS8(plain, params, kek)
	if err != nil {
		return nil, fmt.Errorf("sealing a key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: encryptedKey, Bytes: der}), nil
}

// Open returns the key of a PEM block that [Keyring.Seal] or `openssl pkcs8 -topk8` wrote, or an
// error that wraps [ErrPassphrase]. It refuses more than 2,000,000 rounds.
func (r *Keyring) Open(text []byte) (crypto.Signer, error) {
	block, rest := pem.Decode(text)
	if block == nil || block.Type != encryptedKey || len(strings.TrimSpace(string(rest))) > 0 {
		return nil, fmt.Errorf("opening a key: want one PEM block %q", encryptedKey)
	}
	sealed, err := parsePKCS8(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("opening a key: %w", err)
	}
	kek, err := r.derive(sealed.kdf)
	if err != nil {
		return nil, fmt.Errorf("opening a key: %w", err)
	}
	plain, err := sealed.decrypt(kek)
	if err != nil {
		return nil, fmt.Errorf("opening a key: %w", err)
	}
	key, err := x509.ParsePKCS8PrivateKey(plain)
	if err != nil {
		return nil, fmt.Errorf("opening a key: %w", ErrPassphrase)
	}
	return asSigner(key)
}

// derive returns the key-encryption key, from memory if it was derived before. Whoever comes
// meanwhile waits instead of deriving it again.
func (r *Keyring) derive(params kdf) ([]byte, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.own == nil && params.rounds == SealRounds {
		r.own = &params
	}
	return r.deriveLocked(params)
}

func (r *Keyring) deriveLocked(params kdf) ([]byte, error) {
	id := fmt.Sprintf("%d %x", params.rounds, params.salt)
	if kek, ok := r.derived[id]; ok {
		return kek, nil
	}
	kek, err := params.derive(r.passphrase)
	if err != nil {
		return nil, err
	}
	r.derived[id] = kek
	return kek, nil
}

// sealingKey returns the parameters that Seal uses, and their key.
func (r *Keyring) sealingKey() (kdf, []byte, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.own == nil {
		r.own = newKDF()
	}
	kek, err := r.deriveLocked(*r.own)
	return *r.own, kek, err
}

// OpenKey opens the private key that a URI names: a path or file:PATH is a PEM file, encrypted (ring
// opens it; nil will do for keys that are not) or not; any other scheme is looked for among the
// key managers of go.step.sm/crypto/kms that the program was built with, as in
// pkcs11:token=payca;object=merchant. An unknown scheme is an error that lists them.
func OpenKey(ctx context.Context, uri string, ring *Keyring) (crypto.Signer, error) {
	scheme, rest, found := strings.Cut(uri, ":")
	if !found || strings.ContainsAny(scheme, `/\.`) {
		scheme, rest = "file", uri
	}
	if scheme == "file" {
		return openKeyFile(strings.TrimPrefix(rest, "//"), ring)
	}
	kind := apiv1.Type(strings.ToLower(scheme))
	open, ok := apiv1.LoadKeyManagerNewFunc(kind)
	if !ok {
		return nil, fmt.Errorf("key URI scheme %q is not built in, want %s", scheme, strings.Join(builtIn(), ", "))
	}
	manager, err := open(ctx, apiv1.Options{Type: kind, URI: uri})
	if err != nil {
		return nil, fmt.Errorf("opening key manager %q: %w", scheme, err)
	}
	signer, err := manager.CreateSigner(&apiv1.CreateSignerRequest{SigningKey: uri})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("opening a key of key manager %q: %w", scheme, err), manager.Close())
	}
	return signer, nil
}

// builtIn lists the schemes that OpenKey knows in this program.
func builtIn() []string {
	schemes := []string{"file"}
	for _, kind := range []apiv1.Type{
		apiv1.PKCS11, apiv1.CloudKMS, apiv1.AmazonKMS, apiv1.AzureKMS, apiv1.YubiKey,
		apiv1.SSHAgentKMS, apiv1.TPMKMS, apiv1.CAPIKMS, apiv1.MacKMS, apiv1.PlatformKMS, apiv1.SoftKMS,
	} {
		if _, ok := apiv1.LoadKeyManagerNewFunc(kind); ok {
			schemes = append(schemes, string(kind))
		}
	}
	return schemes
}

// openKeyFile reads a PEM file of at most 64 KiB with one private key.
func openKeyFile(path string, ring *Keyring) (crypto.Signer, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("opening a key: %w", err)
	}
	defer f.Close()
	const limit = 64 << 10
	text, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, fmt.Errorf("reading key %s: %w", path, err)
	}
	if len(text) > limit {
		return nil, fmt.Errorf("key %s is larger than %d bytes", path, limit)
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, fmt.Errorf("key %s: want PEM", path)
	}
	if block.Type == encryptedKey {
		if ring == nil {
			return nil, fmt.Errorf("key %s is encrypted, want a passphrase", path)
		}
		key, err := ring.Open(text)
		if err != nil {
			return nil, fmt.Errorf("key %s: %w", path, err)
		}
		return key, nil
	}
	key, err := pemutil.ParseKey(text)
	if err != nil {
		return nil, fmt.Errorf("key %s: %w", path, err)
	}
	signer, err := asSigner(key)
	if err != nil {
		return nil, fmt.Errorf("key %s: %w", path, err)
	}
	return signer, nil
}

func asSigner(key any) (crypto.Signer, error) {
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("key type %T cannot sign, want ECDSA, Ed25519 or RSA", key)
	}
	return signer, nil
}
