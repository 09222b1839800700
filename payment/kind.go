package payment

import (
	"slices"
	"strings"

	"github.com/payca/payca/policy"
)

// A Kind names what an object says. It is in the header ("typ") and in the payload, and both must agree.
type Kind string

// The kinds of signed objects, with who signs them for whom.
const (
	KindOffer       Kind = "offer"       // merchant for consumer
	KindDual        Kind = "dual"        // consumer for merchant, gateway and banks
	KindRequest     Kind = "request"     // merchant for gateway
	KindAuth        Kind = "auth"        // gateway for the banks
	KindAuthRes     Kind = "authres"     // issuing bank for everybody
	KindAnswer      Kind = "answer"      // consumer, or terminal, for confirmer
	KindConfirm     Kind = "confirm"     // confirmer for gateway and banks
	KindResult      Kind = "result"      // gateway for merchant
	KindReceipt     Kind = "receipt"     // merchant for consumer
	KindDelivered   Kind = "delivered"   // consumer for merchant
	KindCapture     Kind = "capture"     // merchant for gateway
	KindTransfer    Kind = "transfer"    // gateway for the banks
	KindTransferred Kind = "transferred" // issuing bank for everybody
	KindVoid        Kind = "void"        // merchant for gateway, gateway for the banks
	KindVoided      Kind = "voided"      // issuing bank for everybody
)

// The kinds of sealed objects.
const (
	KindInstruction Kind = "pi"     // consumer for gateway; the gateway seals it again for the issuing bank
	KindExpect      Kind = "expect" // issuing bank for confirmer
)

// IssuingRoles hold consumers' accounts, AcquiringRoles merchants'; GatewayRoles stand between.
var (
	issuingRoles   = []policy.Role{policy.IssuingBank, policy.Wallet}
	acquiringRoles = []policy.Role{policy.AcquiringBank, policy.Escrow}
	gatewayRoles   = []policy.Role{policy.Gateway, policy.Aggregator}
)

// IssuingRoles lists the roles that hold consumers' accounts.
func IssuingRoles() []policy.Role { return slices.Clone(issuingRoles) }

// AcquiringRoles lists the roles that hold merchants' accounts.
func AcquiringRoles() []policy.Role { return slices.Clone(acquiringRoles) }

// GatewayRoles lists the roles that stand between merchants and banks.
func GatewayRoles() []policy.Role { return slices.Clone(gatewayRoles) }

// Signers lists the roles that may sign objects of the kind; none for a kind that is not signed.
func (k Kind) Signers() []policy.Role {
	switch k {
	case KindOffer, KindRequest, KindReceipt, KindCapture:
		return []policy.Role{policy.Merchant}
	case KindDual, KindDelivered:
		return []policy.Role{policy.Consumer}
	case KindAnswer:
		return []policy.Role{policy.Consumer, policy.Terminal}
	case KindAuth, KindResult, KindTransfer:
		return GatewayRoles()
	case KindVoid:
		return append(GatewayRoles(), policy.Merchant)
	case KindAuthRes, KindTransferred, KindVoided:
		return IssuingRoles()
	case KindConfirm:
		return []policy.Role{policy.Confirmer}
	}
	return nil
}

// typ is the JWS header parameter for the kind.
func (k Kind) typ() string { return "pay-" + string(k) + "+jws" }

// kindOf reads the header parameter; "" if it is none of a signed kind.
func kindOf(typ string) Kind {
	name, ok := strings.CutSuffix(typ, "+jws")
	name, ours := strings.CutPrefix(name, "pay-")
	if k := Kind(name); ok && ours && k.Signers() != nil {
		return k
	}
	return ""
}
