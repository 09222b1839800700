package mtls

import (
	"crypto/x509"
	"encoding/binary"
	"testing"
	"time"

	"github.com/payca/payca/enroll/internal/testca"
	"github.com/payca/payca/policy"
)

// made returns a list of one certificate that is nothing but bytes and a signature.
func made(raw, signature int) []*x509.Certificate {
	return []*x509.Certificate{{
		Raw: binary.BigEndian.AppendUint64(nil, uint64(raw)), Signature: binary.BigEndian.AppendUint64(nil, uint64(signature)),
	}}
}

func TestTheMemoryIsBounded(t *testing.T) {
	t.Parallel()
	const bound, lists = 64, 10_000
	m := newMemory(bound)
	for n := range lists {
		list := made(n, n)
		key, _ := m.keyOf(list, policy.ClientUse)
		for range 2 { // the second takes the place of the first
			m.keep(key, &recognition{presented: list})
		}
		if m.find(key, list) == nil {
			t.Fatalf("list %d: got nothing, want what was just kept", n)
		}
		if len(m.known) > bound || len(m.keys) > bound {
			t.Fatalf("got %d recognitions and %d keys, want at most %d", len(m.known), len(m.keys), bound)
		}
	}
	for n := range lists {
		list := made(n, n)
		key, _ := m.keyOf(list, policy.ClientUse)
		if got, want := m.find(key, list) != nil, n >= lists-bound; got != want {
			t.Fatalf("list %d: got remembered %v, want %v", n, got, want)
		}
	}
}

func TestAForgottenPeerIsVerifiedAgain(t *testing.T) {
	t.Parallel()
	ca := testca.New(t)
	i := newIdentifier(ca.Trust(), nil, 2)
	var peers []*policy.Peer
	var lists [][]*x509.Certificate
	for range 3 {
		cert := ca.Issue(t, testca.Leaf{Role: policy.Merchant, Party: "shop1"})
		lists = append(lists, []*x509.Certificate{cert.Leaf, ca.Issuer(policy.MerchantCA)})
		peer, err := i.Identify(lists[len(lists)-1], policy.ClientUse)
		if err != nil {
			t.Fatal(err)
		}
		peers = append(peers, peer)
	}
	for _, n := range []int{1, 2, 0} {
		peer, err := i.Identify(lists[n], policy.ClientUse)
		if err != nil || peer.Leaf != lists[n][0] || (peer == peers[n]) != (n != 0) {
			t.Errorf("peer %d: got %v, remembered %v, want the first alone forgotten", n, err, peer == peers[n])
		}
	}
}

func TestTheBytesDecideAndNotTheSignatures(t *testing.T) {
	t.Parallel()
	m := newMemory(8)
	list := made(1, 1)
	key, _ := m.keyOf(list, policy.ClientUse)
	m.keep(key, &recognition{presented: list})
	if m.find(key, made(1, 1)) == nil {
		t.Error("got nothing for the same bytes")
	}
	other := made(2, 1) // the same signature under other bytes
	if again, _ := m.keyOf(other, policy.ClientUse); again != key {
		t.Fatal("got another key, want that of the same signatures")
	}
	if m.find(key, other) != nil || m.find(key, append(made(1, 1), made(1, 1)...)) != nil {
		t.Error("got what is known of other bytes")
	}
	if wrong, _ := m.keyOf(list, policy.ServerUse); m.find(wrong, list) != nil {
		t.Error("got what is known for another use")
	}
}

func TestARecognitionStandsWhileAllOfItsChainIsValid(t *testing.T) {
	t.Parallel()
	at := func(hour int) time.Time { return time.Date(2026, 1, 1, hour, 0, 0, 0, time.UTC) }
	cert := func(from, until int) *x509.Certificate {
		return &x509.Certificate{NotBefore: at(from), NotAfter: at(until)}
	}
	for name, chain := range map[string][]*x509.Certificate{
		"the leaf limits it":    {cert(5, 9), cert(1, 20), cert(0, 22)},
		"the CA limits it":      {cert(1, 20), cert(5, 9), cert(0, 22)},
		"the root limits it":    {cert(1, 20), cert(0, 22), cert(5, 9)},
		"each limits it a part": {cert(5, 20), cert(1, 9), cert(0, 22)},
	} {
		r := recognise(nil, &policy.Peer{Leaf: chain[0], Issuer: chain[1], Chain: chain})
		for hour := range 24 {
			if got, want := r.stands(at(hour)), hour >= 5 && hour <= 9; got != want {
				t.Errorf("%s, hour %d: got %v, want %v", name, hour, got, want)
			}
		}
		if r.stands(at(5).Add(-1)) || r.stands(at(9).Add(1)) || r.stands(time.Time{}) {
			t.Errorf("%s: got it standing outside of the validity", name)
		}
	}
	ancient := &x509.Certificate{NotAfter: at(9)} // valid from the zero time on
	if recognise(nil, &policy.Peer{Leaf: ancient, Chain: []*x509.Certificate{ancient}}).stands(time.Time{}) {
		t.Error("got it standing at no time at all")
	}
}
