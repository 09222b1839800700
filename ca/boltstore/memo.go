package boltstore

import (
	"bytes"
	"encoding/json"
	"slices"
	"sync"

	"go.etcd.io/bbolt"

	"github.com/payca/payca/ca"
	"github.com/payca/payca/policy"
)

// maxParties bounds how many parties are kept decoded.
const maxParties = 4096

// parties keeps what was decoded from records of parties. Each is asked for with every request of the party, and is the same to the octet
// nearly always: what was decoded counts as long as the octets in the transaction are those that it was decoded from.
type parties struct {
	mu   sync.Mutex
	kept map[string]decodedParty // by id; owned by mu
}

type decodedParty struct {
	raw   []byte
	party policy.Party
}

// in reads the record of a party; ca.ErrNotFound if there is none.
func (p *parties) in(tx *bbolt.Tx, id string) (policy.Party, error) {
	raw := tx.Bucket(bucketParties).Get([]byte(id))
	if raw == nil {
		return policy.Party{}, ca.ErrNotFound
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	known, ok := p.kept[id]
	if !ok || !bytes.Equal(known.raw, raw) {
		known = decodedParty{raw: bytes.Clone(raw)}
		if err := json.Unmarshal(raw, &known.party); err != nil {
			return policy.Party{}, err
		}
		if p.kept == nil || len(p.kept) >= maxParties {
			p.kept = map[string]decodedParty{}
		}
		p.kept[id] = known
	}
	party := known.party
	party.DNSNames, party.Addresses = slices.Clone(party.DNSNames), slices.Clone(party.Addresses) // the caller's own
	return party, nil
}
