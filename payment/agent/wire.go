package agent

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"strings"
	"time"

	"github.com/payca/payca/payment"
	"github.com/payca/payca/payment/money"
)

// What agents send each other beside objects.

// An Item is what a merchant sells.
type Item struct {
	SKU       string      `json:"sku"`
	Model     string      `json:"model"`
	Choices   []Choice    `json:"choices,omitempty"` // of equipment
	UnitPrice money.Money `json:"unit_price"`
}

// A Choice is what an item can be equipped with.
type Choice struct {
	Name   string   `json:"name"`   // graphics card
	Values []string `json:"values"` // the ones there are
}

// A Catalogue is the reply of GET /catalogue.
type Catalogue struct {
	Merchant string `json:"merchant"`
	Items    []Item `json:"items"`
}

// A View is what a merchant or gateway shows of a payment to those who take part in it.
type View struct {
	ID         string              `json:"id"`
	State      payment.State       `json:"state"`
	Amount     money.Money         `json:"amount"`
	Merchant   string              `json:"merchant"`
	Gateway    string              `json:"gateway"`
	GatewayEnc string              `json:"gateway_enc,omitempty"`
	Confirmer  string              `json:"confirmer,omitempty"`
	Parts      []payment.Part      `json:"parts,omitempty"`
	Objects    map[string][]string `json:"objects,omitempty"` // by kind, oldest first
	Reason     string              `json:"reason,omitempty"`
}

// A Notice asks a consumer to confirm a payment.
type Notice struct {
	ID       string      `json:"id"`
	Merchant string      `json:"merchant"`
	Amount   money.Money `json:"amount"`
	Nonce    string      `json:"nonce"`
	AuthRes  string      `json:"authres"` // digest
	Tries    int64       `json:"tries"`   // left
	Expires  time.Time   `json:"exp"`
}

// Notices is the reply of GET /confirmations.
type Notices struct {
	Confirmations []Notice `json:"confirmations"`
}

// A TokenRequest redeems a one-time token of a bank.
type TokenRequest struct {
	Token string `json:"token"`
}

// An Onboarded is the reply of POST /merchants.
type Onboarded struct {
	Merchant string `json:"merchant"`
	Payout   string `json:"payout"` // reference of the account that receives the money
	Fee      int64  `json:"fee"`    // of each transfer, hundredths of a percent
}

// A Balance is the reply of GET /balance, in minor units.
type Balance struct {
	Account   string      `json:"account"`
	Posted    money.Money `json:"posted"`
	Held      money.Money `json:"held"`
	Available money.Money `json:"available"`
}

// An Invitation is a bank's one-time token, and what is kept of it.
type Invitation struct {
	TokenID     string `json:"token_id"`
	TokenSHA256 string `json:"token_sha256"` // of its secret, base64url
}

// NewInvitation makes a token, ID.SECRET, and what to keep in its place.
func NewInvitation(now time.Time) (token string, kept Invitation) {
	var secret [24]byte
	rand.Read(secret[:]) // never fails
	id, text := payment.NewID(now), base64.RawURLEncoding.EncodeToString(secret[:])
	return id + "." + text, Invitation{TokenID: id, TokenSHA256: hashSecret(text)}
}

// Admits reports whether the token is the one that was made with the invitation.
func (i Invitation) Admits(token string) bool {
	id, secret, ok := strings.Cut(token, ".")
	return ok && id == i.TokenID && subtle.ConstantTimeCompare([]byte(hashSecret(secret)), []byte(i.TokenSHA256)) == 1
}

// InvitationID returns the id in a token, "" if it has none.
func InvitationID(token string) string {
	id, _, _ := strings.Cut(token, ".")
	if !payment.IsID(id) {
		return ""
	}
	return id
}

func hashSecret(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// Reviewed is the kind of event that lists what a party checked before it went on.
const Reviewed = "payment.reviewed"
