package account

import (
	"crypto/rand"
	"fmt"
	"math/big"

	"github.com/payca/payca/payment/money"
)

// A Link is what a bank tells the holder of an account, once: all that paying from it needs.
type Link struct {
	Issuer    string         `json:"issuer"`    // identity URI of the bank
	Confirmer string         `json:"confirmer"` // identity URI of who asks for confirmations
	Currency  money.Currency `json:"currency"`
	Number    string         `json:"number"` // digits
	Expiry    string         `json:"expiry"` // YYMM
	Secret    []byte         `json:"secret"` // for confirmation codes, 32 octets
}

// String returns [Redacted] for what is secret.
func (l Link) String() string { return fmt.Sprintf("account at %s, %s", l.Issuer, Redacted) }

// GoString is String.
func (l Link) GoString() string { return l.String() }

// numberSize is how many digits a new account number has.
const numberSize = 16

// RandomNumber makes an account number that starts with a BIN.
func RandomNumber(bin string) (Number, error) {
	digits := bin
	for len(digits) < numberSize-1 {
		n, err := rand.Int(rand.Reader, big.NewInt(10))
		if err != nil {
			return Number{}, err
		}
		digits += n.String()
	}
	return NewNumber(digits)
}

// secretSize is of the secret that a consumer shares with its bank.
const secretSize = 32

// NewSecret makes the secret for confirmation codes.
func NewSecret() []byte {
	secret := make([]byte, secretSize)
	rand.Read(secret) // never fails
	return secret
}
