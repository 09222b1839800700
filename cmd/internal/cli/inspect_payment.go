package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/payca/payca/payment"
)

// inspectPayment reads a signed or sealed object of a payment; nil if the text is none.
func inspectPayment(text string) (*object, error) {
	if kind, thumbprint := payment.KindOf(payment.Object(text)); kind != "" {
		o := newObject("payment object")
		o.add("object", string(kind))
		o.add("signer", thumbprint)
		o.add("digest", payment.Object(text).Digest())
		members, err := jsonObject(payment.Payload(payment.Object(text)))
		if err != nil {
			return nil, fmt.Errorf("payload of the %s: %w", kind, err)
		}
		o.add("payload", []*object{members})
		o.add("signature", "not verified")
		return o, nil
	}
	for _, kind := range []payment.Kind{payment.KindInstruction, payment.KindExpect} {
		if to, err := payment.SealedTo(kind, payment.Sealed(text)); err == nil {
			o := newObject("sealed payment object")
			o.add("object", string(kind))
			o.add("sealed_to", to)
			o.add("digest", payment.Sealed(text).Digest())
			return o, nil
		}
	}
	return nil, nil
}

// jsonObject shows the members of a JSON object in their order.
func jsonObject(data []byte) (*object, error) {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	if first, err := dec.Token(); err != nil || first != json.Delim('{') {
		return nil, fmt.Errorf("want a JSON object: %w", err)
	}
	o := &object{}
	for dec.More() {
		name, err := dec.Token()
		if err != nil {
			return nil, err
		}
		var raw json.RawMessage
		if err := dec.Decode(&raw); err != nil {
			return nil, err
		}
		value, err := jsonValue(raw)
		if err != nil {
			return nil, err
		}
		o.add(fmt.Sprint(name), value)
	}
	return o, nil
}

// jsonValue shows one value: an object, a list of objects or words, or a word.
func jsonValue(raw json.RawMessage) (any, error) {
	switch raw[0] {
	case '{':
		o, err := jsonObject(raw)
		return []*object{o}, err
	case '[':
		var items []json.RawMessage
		if err := json.Unmarshal(raw, &items); err != nil {
			return nil, err
		}
		var objects []*object
		var words []string
		for _, item := range items {
			if item[0] == '{' {
				o, err := jsonObject(item)
				if err != nil {
					return nil, err
				}
				objects = append(objects, o)
				continue
			}
			words = append(words, strings.Trim(string(item), `"`))
		}
		if objects != nil {
			return objects, nil
		}
		return words, nil
	case '"':
		text, err := strconv.Unquote(string(raw))
		if err != nil {
			err = json.Unmarshal(raw, &text)
		}
		return text, err
	}
	return string(raw), nil
}
