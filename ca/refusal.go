package ca

import (
	"context"
	"errors"
	"fmt"

	"github.com/payca/payca/ca/audit"
	"github.com/payca/payca/policy"
)

// refused records a refusal and returns it. An error that is no refusal is returned as it is.
func (a *Authority) refused(ctx context.Context, ap application, err error) error {
	if !tokenSpent(err) && policy.ViolationsOf(err) == nil {
		return err
	}
	event := audit.Event{
		Time: ap.now, Kind: audit.CertificateRefused, Actor: clip(ap.Requester), From: clip(ap.From),
		Party: clip(ap.Party), Role: string(ap.party.Role), Issuer: ap.issuer, Profile: clip(ap.Profile),
		Reason: clip(err.Error()), Violations: logged(policy.ViolationsOf(err)), Attrs: map[string]string{"protocol": clip(ap.Protocol)},
	}
	if aerr := a.cfg.Store.Append(context.WithoutCancel(ctx), event); aerr != nil {
		return errors.Join(err, fmt.Errorf("recording the refusal: %w", aerr))
	}
	return err
}

// logged bounds the violations that one event holds: a hundred, each text of at most 256 bytes.
func logged(vs policy.Violations) []policy.Violation {
	const most, limit = 100, 256
	var list []policy.Violation
	for i, v := range vs {
		if i == most {
			return append(list, policy.Violation{Rule: "more", Field: "violations", Got: fmt.Sprint(len(vs)), Want: "none"})
		}
		list = append(list, policy.Violation{Rule: cut(v.Rule, limit), Field: cut(v.Field, limit), Got: cut(v.Got, limit), Want: cut(v.Want, limit)})
	}
	return list
}
