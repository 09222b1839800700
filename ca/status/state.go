package status

import (
	"crypto/x509"
	"time"
)

// An IssuerState is what the service has of one issuing CA.
type IssuerState struct {
	Name        string
	Certificate *x509.Certificate
	OCSPSigner  *x509.Certificate
	CRLNumber   uint64
	CRLUpdated  time.Time // of the full list
	Revoked     int       // entries of the full list
	Shards      int
}

// Issuers tells the state of every issuing CA, in the authority's order.
func (s *Service) Issuers() []IssuerState {
	states := make([]IssuerState, 0, len(s.order))
	for _, name := range s.order {
		is := s.issuers[name]
		state := IssuerState{
			Name: name, Certificate: is.certificate, OCSPSigner: is.signer.Load().Certificate(),
			CRLNumber: is.number.Load(), Shards: s.authority.Shards(name),
		}
		if full := is.lists[0].load(); full != nil {
			state.CRLUpdated, state.Revoked = full.thisUpdate, full.entries
		}
		states = append(states, state)
	}
	return states
}

// A ListState is one CRL as it is served.
type ListState struct {
	Path       string    `json:"path"`   // below the status URL
	Issuer     string    `json:"issuer"` // name of the issuing CA, or root
	Number     uint64    `json:"number"`
	Base       uint64    `json:"base,omitempty"` // of a delta list: the number of the list that it is a delta to
	Entries    int       `json:"entries"`
	Size       int64     `json:"size"` // octets
	ThisUpdate time.Time `json:"this_update"`
	NextUpdate time.Time `json:"next_update"`
}

// Lists tells of every CRL that is served: the root's, then those of each issuer, the full one first.
func (s *Service) Lists() []ListState {
	root := s.root.Load()
	states := []ListState{{
		Path: "/crl/root.crl", Issuer: "root", Number: root.list.Number, Entries: root.list.Len(), Size: int64(len(root.body)),
		ThisUpdate: root.list.ThisUpdate, NextUpdate: root.list.NextUpdate,
	}}
	for _, name := range s.order {
		for _, l := range s.issuers[name].lists {
			if p := l.load(); p != nil {
				states = append(states, ListState{
					Path: l.path, Issuer: name, Number: p.number, Base: p.base, Entries: p.entries, Size: p.size,
					ThisUpdate: p.thisUpdate, NextUpdate: p.nextUpdate,
				})
			}
		}
	}
	return states
}
