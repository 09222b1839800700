package agents

import (
	"fmt"
	"time"

	"github.com/payca/payca/cmd/internal/config"
	"github.com/payca/payca/payment"
	"github.com/payca/payca/payment/agent"
	"github.com/payca/payca/payment/agent/acquiringbank"
	"github.com/payca/payca/payment/agent/confirmer"
	"github.com/payca/payca/payment/agent/consumer"
	"github.com/payca/payca/payment/agent/gateway"
	"github.com/payca/payca/payment/agent/issuingbank"
	"github.com/payca/payca/payment/agent/merchant"
	"github.com/payca/payca/payment/money"
	"github.com/payca/payca/policy"
)

// build adds the part of the agent's role.
func (r *Running) build(c *config.Agent) (err error) {
	missing := func(section string) error {
		return fmt.Errorf("the configuration has no section %s, want one, as the certificate is of a %s", section, r.Self().Role)
	}
	switch role := r.Self().Role; role {
	case policy.Consumer:
		r.Consumer, err = consumer.New(consumer.Config{Agent: r.Agent})
	case policy.Confirmer:
		r.Confirmer, err = confirmer.New(confirmer.Config{Agent: r.Agent})
	case policy.Merchant:
		if c.Merchant == nil {
			return missing("merchant")
		}
		err = r.buildMerchant(c)
	case policy.Gateway, policy.Aggregator:
		if c.Gateway == nil {
			return missing("gateway")
		}
		err = r.buildGateway(c)
	case policy.AcquiringBank, policy.Escrow:
		if c.AcquiringBank == nil {
			return missing("acquiring_bank")
		}
		r.AcquiringBank, err = acquiringbank.New(acquiringbank.Config{Agent: r.Agent, Fee: c.AcquiringBank.Fee})
	case policy.IssuingBank, policy.Wallet:
		if c.IssuingBank == nil {
			return missing("issuing_bank")
		}
		err = r.buildIssuingBank(c)
	default:
		return fmt.Errorf("there is no payment agent for the role %s", role)
	}
	return err
}

func (r *Running) uri(c *config.Agent, id string) (string, error) {
	return c.URI(r.Self().Network, id)
}

func (r *Running) buildMerchant(c *config.Agent) error {
	m := c.Merchant
	cfg := merchant.Config{
		Agent: r.Agent, PaymentTerms: m.PaymentTerms, CaptureRule: m.CaptureRule, OfferLife: time.Duration(m.OfferLife), AutoShip: m.AutoShip,
	}
	var err error
	if cfg.Gateway, err = r.uri(c, m.Gateway); err != nil {
		return err
	}
	if cfg.Acquirer, err = r.uri(c, m.Acquirer); err != nil {
		return err
	}
	for _, in := range m.Instruments {
		instrument := payment.Instrument{Name: in.Name, Fee: in.Fee}
		if in.Limit != "" {
			limit, err := money.Parse(in.Limit, string(m.Currency))
			if err != nil {
				return err
			}
			instrument.Limit = &limit
		}
		cfg.Instruments = append(cfg.Instruments, instrument)
	}
	for _, item := range m.Catalogue {
		price, err := money.Parse(item.Price, string(m.Currency))
		if err != nil {
			return err
		}
		i := agent.Item{SKU: item.SKU, Model: item.Model, UnitPrice: price}
		for _, choice := range item.Choices {
			i.Choices = append(i.Choices, agent.Choice{Name: choice.Name, Values: choice.Values})
		}
		cfg.Items = append(cfg.Items, i)
	}
	r.Merchant, err = merchant.New(cfg)
	return err
}

func (r *Running) buildGateway(c *config.Agent) error {
	confirmer, err := r.uri(c, c.Gateway.Confirmer)
	if err != nil {
		return err
	}
	cfg := gateway.Config{Agent: r.Agent, Confirmer: confirmer, Deadline: time.Duration(c.Gateway.Deadline)}
	for _, route := range c.Gateway.Routes {
		issuer, err := r.uri(c, route.Issuer)
		if err != nil {
			return err
		}
		cfg.Routes = append(cfg.Routes, gateway.Route{BIN: route.BIN, Issuer: issuer})
	}
	r.Gateway, err = gateway.New(cfg)
	return err
}

func (r *Running) buildIssuingBank(c *config.Agent) error {
	b := c.IssuingBank
	confirmer, err := r.uri(c, b.Confirmer)
	if err != nil {
		return err
	}
	r.IssuingBank, err = issuingbank.New(issuingbank.Config{
		Agent: r.Agent, BIN: b.BIN, Confirmer: confirmer, HoldLife: time.Duration(b.HoldLife), ConfirmLife: time.Duration(b.ConfirmLife), Limit: b.Limit,
	})
	return err
}
