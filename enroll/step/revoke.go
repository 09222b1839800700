package step

import (
	"math/big"
	"net/http"

	"github.com/smallstep/certificates/api"

	"github.com/payca/payca/enroll/mtls"
	"github.com/payca/payca/enroll/problem"
)

// reasons are the names of RFC 5280 section 5.3.1 by their codes.
var reasons = map[int]string{
	0: "unspecified", 1: "keyCompromise", 3: "affiliationChanged", 4: "superseded", 5: "cessationOfOperation", 6: "certificateHold", 9: "privilegeWithdrawn",
}

// revoke: POST /1.0/revoke, of a certificate of the caller's. That the serial stands in decimal is step-ca's way.
func (d *door) revoke(w http.ResponseWriter, r *http.Request) error {
	var req api.RevokeRequest
	if err := problem.DecodeJSON(r, bodyLimit, &req); err != nil {
		return err
	}
	serial, ok := new(big.Int).SetString(req.Serial, 0)
	if !ok || serial.Sign() <= 0 || len(req.Serial) > 64 {
		return problem.Errorf(http.StatusBadRequest, "bad-request", "serial is %.70q, want a number, decimal or hexadecimal after 0x", req.Serial)
	}
	reason, ok := reasons[req.ReasonCode]
	switch {
	case !ok:
		return problem.Errorf(http.StatusBadRequest, "bad-request", "reasonCode is %d, want one of RFC 5280 section 5.3.1 for a leaf", req.ReasonCode)
	case req.OTT != "":
		return problem.Errorf(http.StatusBadRequest, "bad-request", "revocation by token, want it by the certificate of the party, or payca revoke")
	}
	peer, _, _ := mtls.PeerFrom(r.Context())
	if err := d.cfg.Revoke(r.Context(), peer, serial.Text(16), reason, r.RemoteAddr); err != nil {
		return err
	}
	return problem.WriteJSON(w, http.StatusOK, api.RevokeResponse{Status: "ok"})
}
