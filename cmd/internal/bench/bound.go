package bench

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"

	"github.com/payca/payca/payment"
	"github.com/payca/payca/payment/agent"
)

// work is the cryptography that the objects of one payment cannot do without (13 signatures, 23 verifications, 3 objects sealed
// and unsealed), on objects as long as the real ones.
type work struct {
	signed   [][]byte // what is signed
	verified [][]byte // what is verified
	sealed   [][]byte // plaintexts
	key      *ecdsa.PrivateKey
	enc      *ecdh.PrivateKey
	made     [][]byte // signatures of verified
}

// readers says how many must verify each kind of object.
var readers = []struct {
	payment.Kind
	n int
}{
	{payment.KindOffer, 1},
	{payment.KindDual, 4},
	{payment.KindRequest, 1},
	{payment.KindAuth, 2},
	{payment.KindAuthRes, 3},
	{payment.KindAnswer, 1},
	{payment.KindConfirm, 2},
	{payment.KindResult, 1},
	{payment.KindReceipt, 1},
	{payment.KindDelivered, 1},
	{payment.KindCapture, 1},
	{payment.KindTransfer, 2},
	{payment.KindTransferred, 3},
}

// workOf looks the sizes up in the objects of a payment.
func (m *market) workOf(id string) (*work, error) {
	objects := map[payment.Kind][]byte{}
	for _, a := range m.agents {
		err := a.Read(func(tx *agent.Tx) error {
			records, err := tx.Records(id)
			for _, r := range records {
				objects[r.Kind] = []byte(r.Object)
			}
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	enc, err := ecdh.P256().GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	w := &work{key: key, enc: enc}
	for _, kind := range readers {
		object := objects[kind.Kind]
		text, _, found := cutLast(object, '.')
		if !found {
			return nil, fmt.Errorf("payment %s has no %s, want one", id, kind.Kind)
		}
		w.signed = append(w.signed, text)
		sum := sha256.Sum256(text)
		signature, err := ecdsa.SignASN1(rand.Reader, key, sum[:])
		if err != nil {
			return nil, err
		}
		for range kind.n {
			w.verified, w.made = append(w.verified, text), append(w.made, signature)
		}
	}
	for _, kind := range []payment.Kind{payment.KindInstruction, payment.KindInstruction, payment.KindExpect} {
		parts := bytes.Split(objects[kind], []byte("."))
		if len(parts) != 5 {
			return nil, fmt.Errorf("payment %s has no sealed %s, want one", id, kind)
		}
		w.sealed = append(w.sealed, make([]byte, len(parts[3])*3/4))
	}
	return w, nil
}

func cutLast(text []byte, separator byte) (before, after []byte, found bool) {
	i := bytes.LastIndexByte(text, separator)
	if i < 0 {
		return text, nil, false
	}
	return text[:i], text[i+1:], true
}

// do does the work of one payment.
func (w *work) do() error {
	for _, text := range w.signed {
		sum := sha256.Sum256(text)
		if _, err := ecdsa.SignASN1(rand.Reader, w.key, sum[:]); err != nil {
			return err
		}
	}
	for i, text := range w.verified {
		sum := sha256.Sum256(text)
		if !ecdsa.VerifyASN1(&w.key.PublicKey, sum[:], w.made[i]) {
			return errors.New("the signature is not good")
		}
	}
	for _, plain := range w.sealed {
		if err := w.seal(plain); err != nil {
			return err
		}
	}
	return nil
}

// seal encrypts and decrypts under a fresh key.
func (w *work) seal(plain []byte) error {
	ephemeral, err := ecdh.P256().GenerateKey(rand.Reader)
	if err != nil {
		return err
	}
	to, err := agree(ephemeral, w.enc.PublicKey())
	if err != nil {
		return err
	}
	nonce := make([]byte, to.NonceSize())
	rand.Read(nonce) // never fails
	sealed := to.Seal(nil, nonce, plain, nil)
	public, err := ecdh.P256().NewPublicKey(ephemeral.PublicKey().Bytes())
	if err != nil {
		return err
	}
	from, err := agree(w.enc, public)
	if err != nil {
		return err
	}
	_, err = from.Open(nil, nonce, sealed, nil)
	return err
}

// agree derives a cipher from two keys.
func agree(own *ecdh.PrivateKey, other *ecdh.PublicKey) (cipher.AEAD, error) {
	secret, err := own.ECDH(other)
	if err != nil {
		return nil, err
	}
	key := sha256.Sum256(secret)
	block, err := aes.NewCipher(key[:])
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}
