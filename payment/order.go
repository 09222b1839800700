package payment

import (
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/payca/payca/enroll/strictjson"
	"github.com/payca/payca/payment/money"
)

// Terms are what consumer and merchant negotiate: the goods, and where and when they are delivered.
type Terms struct {
	Lines    []Line   `json:"lines"`
	Delivery Delivery `json:"delivery"`
	Contact  string   `json:"contact,omitempty"` // whom the merchant may ask
}

// A Line is one kind of goods.
type Line struct {
	SKU       string      `json:"sku"`               // the merchant's number for it
	Model     string      `json:"model"`             // its name
	Quantity  int64       `json:"quantity"`          // pieces
	Options   []Option    `json:"options,omitempty"` // how it is equipped
	UnitPrice money.Money `json:"unit_price"`        // of one piece
}

// An Option is one choice of equipment: graphics card, sound card.
type Option struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// A Delivery is where and when the goods are wanted.
type Delivery struct {
	Time  time.Time `json:"time"`
	Place string    `json:"place"`
}

// maxLines is how many lines an order may have.
const maxLines = 200

// Total returns the sum of all lines.
func (t Terms) Total() (money.Money, error) {
	if len(t.Lines) == 0 {
		return money.Money{}, Refuse(BadAmount, "lines", "none", "at least one")
	}
	total := money.New(0, t.Lines[0].UnitPrice.Currency)
	for i, line := range t.Lines {
		field := fmt.Sprintf("lines[%d]", i)
		if line.Quantity < 1 {
			return money.Money{}, Refuse(BadAmount, field+".quantity", strconv.FormatInt(line.Quantity, 10), "1 or more")
		}
		if err := checkAmount(field+".unit_price", line.UnitPrice); err != nil {
			return money.Money{}, err
		}
		sum, err := line.UnitPrice.Mul(line.Quantity)
		if err == nil {
			total, err = total.Add(sum)
		}
		if err != nil {
			return money.Money{}, &Refusal{Code: BadAmount, Field: field, Got: "a sum that cannot be paid", Want: "lines of one currency, at most 2^53-1 minor units in all", Err: err}
		}
	}
	return total, checkAmount("total", total)
}

func (c *checker) terms(t Terms) {
	c.between("lines", int64(len(t.Lines)), 1, maxLines)
	for i, line := range t.Lines {
		field := fmt.Sprintf("lines[%d].", i)
		c.text(field+"sku", line.SKU, 1, 64)
		c.text(field+"model", line.Model, 1, 200)
		c.between(field+"options", int64(len(line.Options)), 0, 32)
		for _, option := range line.Options {
			c.text(field+"options.name", option.Name, 1, 64)
			c.text(field+"options.value", option.Value, 1, 200)
		}
	}
	c.text("delivery.place", t.Delivery.Place, 1, 400)
	if year := t.Delivery.Time.Year(); year < 2000 || year > 9999 {
		c.refuse("delivery.time", t.Delivery.Time.Format(time.RFC3339), "a time (RFC 3339)")
	}
	c.text("contact", t.Contact, 0, 200)
	if c.err == nil {
		_, c.err = t.Total()
	}
}

// Check refuses terms that cannot be offered.
func (t Terms) Check() error {
	c := checker{kind: "order"}
	c.terms(t)
	return c.err
}

// An Order is what a consumer asks for. It is not signed; the merchant's offer is.
type Order struct {
	Order string `json:"order"` // the consumer's id for it: a UUID of version 7
	Terms
}

// Check refuses an order that cannot be offered.
func (o Order) Check() error {
	c := checker{kind: "order"}
	c.id("order", o.Order)
	c.terms(o.Terms)
	return c.err
}

// An OrderFile is an order as a person writes it: what to buy, and, if the consumer changed its
// mind, what to buy instead.
type OrderFile struct {
	Order     Terms  `json:"order"`
	Amendment *Terms `json:"amendment,omitempty"`
}

// ReadOrderFile reads an [OrderFile] strictly and checks both terms. The error is a *[Refusal].
func ReadOrderFile(data []byte) (OrderFile, error) {
	var f OrderFile
	if err := strictjson.Unmarshal(data, &f); err != nil {
		return OrderFile{}, BadJSONError("order file", err)
	}
	if err := f.Order.Check(); err != nil {
		return OrderFile{}, err
	}
	if f.Amendment != nil {
		if err := f.Amendment.Check(); err != nil {
			return OrderFile{}, err
		}
	}
	return f, nil
}

// A Change is one field in which two terms differ; a field that one of them lacks is "" there.
type Change struct {
	Field string `json:"field"` // lines[0].quantity
	Was   string `json:"was"`
	Is    string `json:"is"`
}

// String shows the change on one line.
func (c Change) String() string {
	switch {
	case c.Was == "":
		return c.Field + ": added " + c.Is
	case c.Is == "":
		return c.Field + ": removed " + c.Was
	}
	return c.Field + ": " + c.Was + " -> " + c.Is
}

// Diff lists, field by field in the order of the fields, how the terms now differ from what they were.
func Diff(was, now Terms) []Change {
	names, before := was.fields()
	others, after := now.fields()
	for _, name := range others {
		if _, ok := before[name]; !ok {
			names = append(names, name)
		}
	}
	var changes []Change
	for _, name := range names {
		if before[name] != after[name] {
			changes = append(changes, Change{name, before[name], after[name]})
		}
	}
	return changes
}

// fields lists every field as text.
func (t Terms) fields() (names []string, values map[string]string) {
	values = map[string]string{}
	put := func(name, value string) {
		if value != "" && !slices.Contains(names, name) {
			names = append(names, name)
			values[name] = value
		}
	}
	for i, line := range t.Lines {
		field := fmt.Sprintf("lines[%d].", i)
		put(field+"sku", line.SKU)
		put(field+"model", line.Model)
		put(field+"quantity", strconv.FormatInt(line.Quantity, 10))
		for _, option := range line.Options {
			put(field+option.Name, option.Value)
		}
		put(field+"unit_price", line.UnitPrice.String())
	}
	put("delivery.time", t.Delivery.Time.Format(time.RFC3339))
	put("delivery.place", t.Delivery.Place)
	put("contact", t.Contact)
	return names, values
}

func stamp(unix int64) string { return time.Unix(unix, 0).UTC().Format(time.RFC3339) }
