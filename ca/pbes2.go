package ca

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"encoding/asn1"
	"errors"
	"fmt"
)

// The one way in which keys are encrypted (RFC 8018 section 6.2 with appendix B): PBES2 with
// PBKDF2-HMAC-SHA-256 and AES-256-CBC.
const (
	maxRounds = 2_000_000 // so that a hostile file cannot burn the CPU: about a second
	saltSize  = 16
	maxSalt   = 64
	kekSize   = 32
)

var (
	oidPBES2      = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 13}
	oidPBKDF2     = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 12}
	oidHMACSHA256 = asn1.ObjectIdentifier{1, 2, 840, 113549, 2, 9}
	oidAES256CBC  = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 1, 42}
)

// encryptedPrivateKeyInfo is RFC 5958 section 3.
type encryptedPrivateKeyInfo struct {
	Algorithm struct {
		ID     asn1.ObjectIdentifier
		Params pbes2Params
	}
	Data []byte
}

type pbes2Params struct {
	KDF struct {
		ID     asn1.ObjectIdentifier
		Params pbkdf2Params
	}
	Cipher struct {
		ID asn1.ObjectIdentifier
		IV []byte
	}
}

type pbkdf2Params struct {
	Salt   []byte
	Rounds int
	Length int `asn1:"optional"`
	PRF    struct {
		ID     asn1.ObjectIdentifier
		Params asn1.RawValue
	}
}

// A kdf is the parameters of PBKDF2-HMAC-SHA-256.
type kdf struct {
	salt   []byte
	rounds int
}

// newKDF draws a salt.
func newKDF() *kdf {
	salt := make([]byte, saltSize)
	rand.Read(salt) // never fails
	return &kdf{salt: salt, rounds: SealRounds}
}

func (k kdf) derive(passphrase []byte) ([]byte, error) {
	return pbkdf2.Key(sha256.New, string(passphrase), k.salt, k.rounds, kekSize)
}

// A sealedKey is an encrypted key as it was read.
type sealedKey struct {
	kdf  kdf
	iv   []byte
	data []byte
}

// parsePKCS8 reads an EncryptedPrivateKeyInfo, refusing other algorithms and parameters out of bounds.
func parsePKCS8(der []byte) (sealedKey, error) {
	var info encryptedPrivateKeyInfo
	rest, err := asn1.Unmarshal(der, &info)
	p := info.Algorithm.Params
	switch {
	case err != nil || len(rest) > 0 ||
		!info.Algorithm.ID.Equal(oidPBES2) || !p.KDF.ID.Equal(oidPBKDF2) ||
		!p.KDF.Params.PRF.ID.Equal(oidHMACSHA256) || !p.Cipher.ID.Equal(oidAES256CBC):
		return sealedKey{}, errors.New("encryption is another, want PBES2 with PBKDF2-HMAC-SHA-256 and AES-256-CBC")
	case p.KDF.Params.Rounds < 1 || p.KDF.Params.Rounds > maxRounds:
		return sealedKey{}, fmt.Errorf("%d rounds of PBKDF2, want 1 to %d", p.KDF.Params.Rounds, maxRounds)
	case len(p.KDF.Params.Salt) > maxSalt:
		return sealedKey{}, fmt.Errorf("salt of %d bytes, want at most %d", len(p.KDF.Params.Salt), maxSalt)
	case p.KDF.Params.Length != 0 && p.KDF.Params.Length != kekSize:
		return sealedKey{}, fmt.Errorf("derived key of %d bytes, want %d", p.KDF.Params.Length, kekSize)
	case len(p.Cipher.IV) != aes.BlockSize || len(info.Data) == 0 || len(info.Data)%aes.BlockSize != 0:
		return sealedKey{}, errors.New("initialisation vector or data are not whole AES blocks")
	}
	return sealedKey{
		kdf: kdf{salt: p.KDF.Params.Salt, rounds: p.KDF.Params.Rounds},
		iv:  p.Cipher.IV, data: info.Data,
	}, nil
}

// decrypt returns the PrivateKeyInfo, or ErrPassphrase if the padding is not there.
func (s sealedKey) decrypt(kek []byte) ([]byte, error) {
	block, err := aes.NewCipher(kek)
	if err != nil {
		return nil, err
	}
	plain := make([]byte, len(s.data))
	cipher.NewCBCDecrypter(block, s.iv).CryptBlocks(plain, s.data)
	pad := int(plain[len(plain)-1])
	if pad < 1 || pad > aes.BlockSize {
		return nil, ErrPassphrase
	}
	for _, b := range plain[len(plain)-pad:] {
		if int(b) != pad {
			return nil, ErrPassphrase
		}
	}
	return plain[:len(plain)-pad], nil
}

// encryptPKCS8 encrypts a PrivateKeyInfo under kek, which params derive.
func encryptPKCS8(plain []byte, params kdf, kek []byte) ([]byte, error) {
	block, err := aes.NewCipher(kek)
	if err != nil {
		return nil, err
	}
	iv := make([]byte, aes.BlockSize)
	rand.Read(iv) // never fails
	pad := aes.BlockSize - len(plain)%aes.BlockSize
	data := make([]byte, 0, len(plain)+pad)
	data = append(data, plain...)
	for range pad {
		data = append(data, byte(pad))
	}
	cipher.NewCBCEncrypter(block, iv).CryptBlocks(data, data)

	var info encryptedPrivateKeyInfo
	info.Algorithm.ID = oidPBES2
	p := &info.Algorithm.Params
	p.KDF.ID, p.Cipher.ID, p.Cipher.IV = oidPBKDF2, oidAES256CBC, iv
	p.KDF.Params = pbkdf2Params{Salt: params.salt, Rounds: params.rounds}
	p.KDF.Params.PRF.ID, p.KDF.Params.PRF.Params = oidHMACSHA256, asn1.NullRawValue
	info.Data = data
	return asn1.Marshal(info)
}
