package lint

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/binary"
	"hash"
	"sync"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

// A likeness stands for certificates of one day that differ in nothing that zlint could object to: in the octets of serial, key
// and subject key identifier, in the time of day, in the signature, and in names that are plain. Our own lints and the gate look
// at these each time.
type likeness [sha256.Size]byte

// The DER of object identifiers of extensions.
const (
	subjectKeyID   = "\x06\x03\x55\x1d\x0e" // 2.5.29.14
	subjectAltName = "\x06\x03\x55\x1d\x11" // 2.5.29.17
)

// likenessOf returns what c is like; ok is false for what zlint has to be asked about each time: RSA keys, whose numbers it
// looks at, and whatever is not written as RFC 5280 section 4.1 has it.
func likenessOf(c *x509.Certificate) (sum likeness, ok bool) {
	if c.PublicKeyAlgorithm != x509.ECDSA && c.PublicKeyAlgorithm != x509.Ed25519 {
		return sum, false
	}
	l := liker{sha256.New()}
	l.number(int(c.NotBefore.Unix()/86400), int(c.NotAfter.Unix()-c.NotBefore.Unix()))
	raw, certificate := cryptobyte.String(c.Raw), cryptobyte.String(nil)
	var tbs cryptobyte.String
	ok = raw.ReadASN1(&certificate, asn1.SEQUENCE) && raw.Empty() && certificate.ReadASN1(&tbs, asn1.SEQUENCE) && l.whole(&certificate) && // the algorithm of the signature
		certificate.SkipASN1(asn1.BIT_STRING) && certificate.Empty() &&
		l.whole(&tbs) && l.serial(&tbs) && l.whole(&tbs) && l.whole(&tbs) && // version, serial, algorithm, issuer
		l.forms(&tbs) && l.subject(&tbs) && l.key(&tbs) && l.extensions(&tbs) && tbs.Empty()
	l.Sum(sum[:0])
	return sum, ok
}

// A liker adds up the parts of a certificate. Each is DER or of a fixed size, so that none runs into the next.
type liker struct{ hash.Hash }

func (l liker) number(numbers ...int) {
	var text [8]byte
	for _, n := range numbers {
		binary.BigEndian.PutUint64(text[:], uint64(n))
		l.Write(text[:])
	}
}

// whole takes an element as it is.
func (l liker) whole(s *cryptobyte.String) bool {
	var element cryptobyte.String
	var tag asn1.Tag
	ok := s.ReadAnyASN1Element(&element, &tag)
	l.Write(element)
	return ok
}

// serial takes a positive number by its length.
func (l liker) serial(s *cryptobyte.String) bool {
	var number cryptobyte.String
	ok := s.ReadASN1(&number, asn1.INTEGER) && len(number) > 0 && number[0] < 0x80
	l.number(len(number))
	return ok
}

// forms takes the two times by their forms.
func (l liker) forms(s *cryptobyte.String) bool {
	var validity, text cryptobyte.String
	var tag asn1.Tag
	ok := s.ReadASN1(&validity, asn1.SEQUENCE)
	for range 2 {
		ok = ok && validity.ReadAnyASN1(&text, &tag)
		l.number(int(tag), len(text))
	}
	return ok && validity.Empty()
}

// key takes the algorithm of a key, and how long the key is.
func (l liker) key(s *cryptobyte.String) bool {
	var info, bits cryptobyte.String
	ok := s.ReadASN1(&info, asn1.SEQUENCE) && l.whole(&info) && info.ReadASN1(&bits, asn1.BIT_STRING) && info.Empty() && len(bits) > 1
	if ok {
		l.Write(bits[:2]) // the bits that are unused, and the form of a point
	}
	l.number(len(bits))
	return ok
}

// extensions takes them all, that of the key by its length and names as alternatives does.
func (l liker) extensions(s *cryptobyte.String) bool {
	var explicit, list cryptobyte.String
	ok := s.ReadASN1(&explicit, asn1.Tag(3).ContextSpecific().Constructed()) && explicit.ReadASN1(&list, asn1.SEQUENCE) && explicit.Empty()
	for ok && !list.Empty() {
		var extension, id, value cryptobyte.String
		rest := list
		if rest.ReadASN1(&extension, asn1.SEQUENCE) && extension.ReadASN1Element(&id, asn1.OBJECT_IDENTIFIER) &&
			extension.ReadASN1(&value, asn1.OCTET_STRING) && extension.Empty() && l.special(id, value) { // not critical
			list = rest
			continue
		}
		ok = l.whole(&list)
	}
	return ok
}

// special takes the value of an extension if not all of its octets matter.
func (l liker) special(id, value cryptobyte.String) bool {
	switch {
	case string(id) == subjectKeyID && len(value) > 2:
		l.Write(id)
		l.Write(value[:2]) // the identifier is an OCTET STRING itself
		l.number(len(value))
		return true
	case string(id) == subjectAltName && distinct(value):
		l.Write(id)
		return l.alternatives(value)
	}
	return false
}

// A memory knows the likenesses of certificates that zlint had nothing against. It is safe for concurrent use.
type memory struct {
	most int

	mu     sync.Mutex
	passed map[likeness]struct{} // owned by mu
}

func (m *memory) knows(l likeness) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	_, known := m.passed[l]
	return known
}

// learn remembers one more. A memory that is full begins anew: what is asked for often is soon known again.
func (m *memory) learn(l likeness) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.passed) >= m.most {
		clear(m.passed)
	}
	if m.most > 0 {
		m.passed[l] = struct{}{}
	}
}
