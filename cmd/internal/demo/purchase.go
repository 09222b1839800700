package demo

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/payca/payca/payment"
	"github.com/payca/payca/payment/account"
	"github.com/payca/payca/payment/agent"
	"github.com/payca/payca/payment/agent/acquiringbank"
	"github.com/payca/payca/payment/agent/consumer"
	"github.com/payca/payca/payment/agent/issuingbank"
	"github.com/payca/payca/payment/money"
	"github.com/payca/payca/policy"
)

// patience is how long the demo waits for another agent.
const patience = 10 * time.Second

// trade opens the accounts and buys twice: with confirmation and the instruction straight to the gateway, then as in
// SET, without one and through the merchant, or the other way round. The second payment is left open.
func (d *demo) trade(ctx context.Context) error {
	if len(d.missing) > 0 {
		d.step("no-purchase", map[string]any{"missing": d.missing}, "no purchase: the network has no %s with a DNS name", d.missing[0])
		return nil
	}
	if err := d.staff(ctx); err != nil {
		return err
	}
	if err := d.accounts(ctx); err != nil {
		return err
	}
	first := consumer.Choice{Mode: d.cfg.Confirm, Route: d.cfg.Route}
	second := consumer.Choice{Mode: payment.ConfirmNone, Route: consumer.Relay}
	if first.Mode == payment.ConfirmNone {
		second.Mode = payment.ConfirmRealtime
	}
	if first.Route == consumer.Relay {
		second.Route = consumer.Direct
	}
	id, err := d.purchase(ctx, first, true)
	if err != nil {
		return err
	}
	if err := d.settle(ctx, id); err != nil {
		return err
	}
	if d.open2, err = d.purchase(ctx, second, false); err != nil {
		return err
	}
	return d.balances(ctx)
}

func (d *demo) player(role policy.Role) policy.Party { return d.troupe.cast[role] }

// accounts onboards the merchant and links the consumer's account, with money for three such orders.
func (d *demo) accounts(ctx context.Context) error {
	r := d.troupe.running
	shop, school, abank, ibank := d.player(policy.Merchant), d.player(policy.Consumer), d.player(policy.AcquiringBank), d.player(policy.IssuingBank)
	invited, err := r[policy.AcquiringBank].AcquiringBank.Invite(ctx, acquiringbank.InviteRequest{Party: shop.ID, Currency: d.currency()})
	if err != nil {
		return err
	}
	onboarded, err := r[policy.Merchant].Merchant.Onboard(ctx, invited.(acquiringbank.Invited).Token)
	if err != nil {
		return err
	}
	d.step("onboard", map[string]any{"merchant": shop.ID, "bank": abank.ID, "fee": onboarded.Fee}, "%s has an account at %s, which takes %d.%02d %% of a transfer", shop.ID, abank.ID, onboarded.Fee/100, onboarded.Fee%100)
	balance, err := d.funds()
	if err != nil {
		return err
	}
	opened, err := r[policy.IssuingBank].IssuingBank.Invite(ctx, issuingbank.InviteRequest{Party: school.ID, Balance: balance})
	if err != nil {
		return err
	}
	link, err := r[policy.Consumer].Consumer.Link(ctx, r[policy.IssuingBank].URI(), opened.(issuingbank.Invited).Token)
	if err != nil {
		return err
	}
	d.step("link", map[string]any{"consumer": school.ID, "bank": ibank.ID, "balance": balance}, "%s has an account at %s (%s) with %s, and shares a secret with the bank", school.ID, ibank.ID, account.Redacted, balance)
	d.account = link.Number
	return nil
}

// funds is three times the dearer of the two terms.
func (d *demo) funds() (money.Money, error) {
	total, err := d.cfg.Order.Order.Total()
	if err == nil && d.cfg.Order.Amendment != nil {
		var amended money.Money
		if amended, err = d.cfg.Order.Amendment.Total(); err == nil && amended.Minor > total.Minor {
			total = amended
		}
	}
	if err != nil {
		return money.Money{}, err
	}
	return total.Mul(3)
}

// purchase goes from order to receipt. At length it shows the offer and amends it.
func (d *demo) purchase(ctx context.Context, choice consumer.Choice, length bool) (string, error) {
	c := d.troupe.running[policy.Consumer].Consumer
	shop, school := d.player(policy.Merchant), d.player(policy.Consumer)
	terms := d.cfg.Order.Order
	if !length && d.cfg.Order.Amendment != nil {
		terms = *d.cfg.Order.Amendment
	}
	offer, err := c.Order(ctx, d.troupe.running[policy.Merchant].URI(), terms)
	if err != nil {
		return "", err
	}
	d.showOffer(offer, school.ID, shop.ID, length)
	if len(offer.Changes) > 0 {
		return "", fmt.Errorf("the offer is not what was ordered: %v", offer.Changes)
	}
	if length && d.cfg.Order.Amendment != nil {
		if offer, err = c.Amend(ctx, offer.ID, *d.cfg.Order.Amendment); err != nil {
			return "", err
		}
		d.step("amend", map[string]any{"payment": offer.ID, "rev": offer.Rev, "changes": offer.Since, "total": offer.Total},
			"%s amends; %s signs revision %d over %s:%s", school.ID, shop.ID, offer.Rev, offer.Total, lines(offer.Since))
	}
	id := offer.ID
	if _, err := c.Accept(ctx, id, choice); err != nil {
		return "", err
	}
	d.step("accept", map[string]any{"payment": id, "mode": choice.Mode, "route": choice.Route, "amount": offer.Total},
		"%s accepts with a dual signature over order and instruction; the instruction is sealed to %s and goes %s", school.ID, d.player(policy.Gateway).ID, way(choice.Route, shop.ID))
	if err := d.approve(ctx, id, choice); err != nil {
		return "", err
	}
	v, err := c.Await(ctx, id, patience)
	if err != nil {
		return "", err
	}
	if v.State != payment.Opened || len(v.Objects[string(payment.KindReceipt)]) != 1 {
		return "", fmt.Errorf("payment %s is %s, want %s and a receipt", id, v.State, payment.Opened)
	}
	d.step("receipt", map[string]any{"payment": id, "state": v.State}, "%s has the signed result with the bank's approval, and signs a receipt over %s; %s verified both", shop.ID, v.Amount, school.ID)
	return id, nil
}

func (d *demo) showOffer(o *consumer.Offered, school, shop string, length bool) {
	var text strings.Builder
	if length {
		for _, line := range o.Offer.Lines {
			text.WriteString(fmt.Sprintf("\n      %d x %s at %s", line.Quantity, line.Model, line.UnitPrice))
			for _, option := range line.Options {
				text.WriteString(fmt.Sprintf(", %s %s", option.Name, option.Value))
			}
		}
		text.WriteString(fmt.Sprintf("\n      to %s on %s", o.Offer.Delivery.Place, o.Offer.Delivery.Time.Format("2006-01-02 15:04")))
	}
	d.step("offer", map[string]any{"payment": o.ID, "rev": o.Rev, "total": o.Total, "terms": o.Offer},
		"%s orders; %s signs an offer over %s, which says exactly what was ordered%s", school, shop, o.Total, text.String())
}

func way(route, shop string) string {
	if route == consumer.Relay {
		return "through " + shop + ", which cannot read it"
	}
	return "straight there"
}

func lines(changes []payment.Change) string {
	var b strings.Builder
	for _, c := range changes {
		b.WriteString("\n      " + c.String())
	}
	return b.String()
}

// approve has the banks decide, and the consumer confirm if that is the mode.
func (d *demo) approve(ctx context.Context, id string, choice consumer.Choice) error {
	c := d.troupe.running[policy.Consumer].Consumer
	v, err := c.Pay(ctx, id)
	if err != nil {
		return err
	}
	gw, abank, ibank, k := d.player(policy.Gateway), d.player(policy.AcquiringBank), d.player(policy.IssuingBank), d.player(policy.Confirmer)
	if len(v.Objects[string(payment.KindAuthRes)]) != 1 || v.State == payment.Declined {
		return fmt.Errorf("payment %s is %s, want it approved", id, v.State)
	}
	balances, err := d.consumerBalance(ctx)
	if err != nil {
		return err
	}
	d.step("authorise", map[string]any{"payment": id, "state": v.State, "held": balances.Held},
		"%s opens the instruction and seals it again for %s; %s checks the dual signature without it; %s approves and holds %s", gw.ID, ibank.ID, abank.ID, ibank.ID, balances.Held)
	if choice.Mode == payment.ConfirmNone {
		return nil
	}
	answered, err := c.Confirm(ctx, id, patience)
	if err != nil {
		return err
	}
	if answered.Result != payment.ConfirmedResult {
		return fmt.Errorf("payment %s was %s, want it confirmed", id, answered.Result)
	}
	d.step("confirm", map[string]any{"payment": id, "result": answered.Result},
		"%s asks; %s answers with a code for this amount and payee alone: %s", k.ID, d.player(policy.Consumer).ID, answered.Result)
	return nil
}

// settle ships, captures and signs for the goods.
func (d *demo) settle(ctx context.Context, id string) error {
	shop, ibank := d.player(policy.Merchant), d.player(policy.IssuingBank)
	v, err := d.troupe.running[policy.Merchant].Merchant.Ship(ctx, id)
	if err != nil {
		return err
	}
	if v.State != payment.Closed || len(v.Objects[string(payment.KindTransferred)]) != 1 {
		return fmt.Errorf("payment %s is %s after the capture, want %s", id, v.State, payment.Closed)
	}
	d.step("capture", map[string]any{"payment": id, "amount": v.Amount}, "%s ships and captures %s; %s signs that it is transferred", shop.ID, v.Amount, ibank.ID)
	c := d.troupe.running[policy.Consumer].Consumer
	if err := c.Delivered(ctx, id, "complete"); err != nil {
		return err
	}
	if v, err = c.Await(ctx, id, 0); err != nil { // the bank's word that the money moved is for the consumer too
		return err
	}
	if len(v.Objects[string(payment.KindTransferred)]) != 1 {
		return fmt.Errorf("the consumer got %d signed transfers, want 1", len(v.Objects[string(payment.KindTransferred)]))
	}
	d.step("deliver", map[string]any{"payment": id}, "%s signs for the goods", d.player(policy.Consumer).ID)
	return d.audit(ctx, id)
}

// audit counts the objects of a payment at each agent, and searches what merchant and acquiring bank hold for the account number.
func (d *demo) audit(_ context.Context, id string) error {
	counts := map[string]int{}
	var text []string
	for _, role := range players {
		r := d.troupe.running[role]
		var records []agent.Record
		if err := r.Read(func(tx *agent.Tx) (err error) { records, err = tx.Records(id); return err }); err != nil {
			return err
		}
		counts[r.Self().Party] = len(records)
		text = append(text, fmt.Sprintf("%s %d", r.Self().Party, len(records)))
	}
	d.step("records", map[string]any{"payment": id, "objects": counts}, "every object is on record, by agent: %s; payca trace %s lists them", strings.Join(text, ", "), id)
	return nil
}

func (d *demo) consumerBalance(ctx context.Context) (agent.Balance, error) {
	r := d.troupe.running
	var list []agent.Balance
	if err := r[policy.Consumer].Fetch(ctx, r[policy.IssuingBank].URI(), "/balance", 0, &list); err != nil {
		return agent.Balance{}, err
	}
	if len(list) != 1 {
		return agent.Balance{}, fmt.Errorf("the consumer has %d accounts, want 1", len(list))
	}
	return list[0], nil
}

// balances shows both accounts.
func (d *demo) balances(ctx context.Context) error {
	r := d.troupe.running
	c, err := d.consumerBalance(ctx)
	if err != nil {
		return err
	}
	var m agent.Balance
	if err := r[policy.Merchant].Fetch(ctx, r[policy.AcquiringBank].URI(), "/balance", 0, &m); err != nil {
		return err
	}
	d.step("balance", map[string]any{"consumer": c, "merchant": m},
		"balances: %s %s, of which %s is held; %s %s", d.player(policy.Consumer).ID, c.Posted, c.Held, d.player(policy.Merchant).ID, m.Posted)
	return nil
}

// captureRefused has the revoked merchant try to take the money of the payment that is open.
func (d *demo) captureRefused(ctx context.Context) error {
	if d.open2 == "" {
		return nil
	}
	_, err := d.troupe.running[policy.Merchant].Merchant.Ship(ctx, d.open2)
	if err == nil {
		return errors.New("the revoked merchant's capture was done, want a refusal")
	}
	balance, balanceErr := d.consumerBalance(ctx)
	if balanceErr != nil {
		return balanceErr
	}
	d.step("refused-capture", map[string]any{"refused": true, "payment": d.open2, "code": agent.CodeOf(err), "held": balance.Held},
		"%s's next capture: refused, %v; %s stays held", d.player(policy.Merchant).ID, err, balance.Held)
	return nil
}
