package ocsp

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"fmt"
	"hash"
	"io"
	"math"
	"slices"
	"time"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

const (
	scanBuffer = 64 << 10
	maxElement = 32 << 10 // octets of a name, an entry, the extensions or a signature
)

// ScanCRL reads a CRL, DER, as [ParseCRL] does, but from a stream and in memory that does not grow with it. It gives the entries
// to visit in the order of the list, each with a serial that holds during the call, and returns what the list says once the
// signature of issuer, by name and key, is proved; until then nothing that visit saw may be believed. An error of visit ends
// it. For issuers with an Ed25519 key, whose signatures need the whole list at once, it holds the list in memory.
func ScanCRL(r io.Reader, issuer *x509.Certificate, visit func(Entry) error) (ListInfo, error) {
	proof := &listProof{issuer: issuer}
	var held record
	s := listScanner{r: r, buf: make([]byte, 0, scanBuffer), proof: proof, visit: func(r record, invalidity time.Time) error {
		held = r
		e := held.entry()
		e.Invalidity = invalidity
		return visit(e)
	}}
	if err := s.scan(); err != nil {
		return ListInfo{}, fmt.Errorf("CRL: %w", err)
	}
	if err := s.info.checkIssuer(issuer); err != nil {
		return ListInfo{}, err
	}
	if err := proof.check(s.signature); err != nil {
		return ListInfo{}, fmt.Errorf("CRL: %w", err)
	}
	return s.info, nil
}

// A listScanner reads a CertificateList: RFC 5280 section 5.1.
type listScanner struct {
	r     io.Reader // nil: buf is all there is
	buf   []byte    // what was read and not passed; with r no more than scanBuffer
	at    int       // in buf
	base  int       // octets before buf
	proof *listProof
	mark  int   // with proof: in buf, up to where it was given to proof; -1 outside of the TBSCertList
	err   error // of r, but for its end

	visit func(r record, invalidity time.Time) error
	grow  func(octets int) // told how long the entries are, nil for nobody

	info                 ListInfo
	algorithm, signature []byte
	tbsStart, tbsEnd     int
	removes              bool // an entry says removeFromCRL
}

var errNoList = errors.New("want the DER of one CertificateList, version 2, with nextUpdate")

// scan reads the list. What reading failed for is the error then.
func (s *listScanner) scan() error {
	err := s.scanList()
	if s.err != nil {
		return s.err
	}
	return err
}

func (s *listScanner) scanList() error {
	s.mark = -1
	end, ok := s.open(asn1.SEQUENCE)
	if !ok {
		return errNoList
	}
	s.tbsStart = s.base + s.at
	s.mark = s.at
	if s.tbsEnd, ok = s.open(asn1.SEQUENCE); !ok || s.tbsEnd > end {
		return errNoList
	}
	if err := s.scanTBS(); err != nil {
		return err
	}
	s.prove()
	s.mark = -1
	outside, ok := s.element(asn1.SEQUENCE)
	if !ok {
		return errNoList
	}
	if !bytes.Equal(outside, s.algorithm) {
		return fmt.Errorf("signature algorithm %x outside, %x inside: want the same", []byte(outside), s.algorithm)
	}
	signature, ok := s.element(asn1.BIT_STRING)
	if !ok || !signature.ReadASN1BitStringAsBytes(&s.signature) || s.base+s.at != end || s.need(1) {
		return errNoList
	}
	s.signature = bytes.Clone(s.signature)
	return nil
}

// scanTBS reads the TBSCertList.
func (s *listScanner) scanTBS() error {
	var version int
	number, ok := s.element(asn1.INTEGER)
	if !ok || !number.ReadASN1Integer(&version) || version != 1 {
		return errNoList
	}
	algorithm, ok := s.element(asn1.SEQUENCE)
	if !ok {
		return errNoList
	}
	s.algorithm = bytes.Clone(algorithm)
	if s.proof != nil {
		if err := s.proof.begin(s.algorithm); err != nil {
			return err
		}
	}
	issuer, ok := s.element(asn1.SEQUENCE)
	if !ok {
		return errNoList
	}
	s.info.Issuer = bytes.Clone(issuer)
	for _, t := range []*time.Time{&s.info.ThisUpdate, &s.info.NextUpdate} {
		text, ok := s.element(asn1.UTCTime, asn1.GeneralizedTime)
		if !ok || !readTime(&text, t) {
			return errNoList
		}
	}
	if s.peek() == asn1.SEQUENCE {
		if err := s.scanEntries(); err != nil {
			return err
		}
	}
	var list cryptobyte.String
	exts, ok := s.element(explicit(0))
	if !ok || !readExtensions(&exts, explicit(0), &list) || s.base+s.at != s.tbsEnd {
		return errNoList
	}
	if err := s.info.parseExtensions(bytes.Clone(list)); err != nil {
		return err
	}
	if s.removes && !s.info.Delta {
		return errors.New("removeFromCRL in a list that is no delta: want a reason of a full list")
	}
	return nil
}

func (s *listScanner) scanEntries() error {
	end, ok := s.open(asn1.SEQUENCE)
	if !ok || end > s.tbsEnd {
		return errNoList
	}
	if s.grow != nil {
		s.grow(end - s.base - s.at)
	}
	for n := 1; s.base+s.at < end; n++ {
		one, ok := s.element(asn1.SEQUENCE)
		if !ok || s.base+s.at > end {
			return errNoList
		}
		r, invalidity, ok := readEntry(&one)
		if !ok {
			return fmt.Errorf("entry %d: want a positive serial of at most %d octets, a time and known extensions, each once", n, maxSerial)
		}
		s.removes = s.removes || r.reason == reasonRemoveFromCRL
		if err := s.visit(r, invalidity); err != nil {
			return err
		}
	}
	return nil
}

// need says whether n more octets are there, and reads them if it has to.
func (s *listScanner) need(n int) bool {
	if len(s.buf)-s.at >= n {
		return true
	}
	if s.r == nil || n > scanBuffer {
		return false
	}
	s.prove()
	s.base += s.at
	s.buf = s.buf[:copy(s.buf, s.buf[s.at:])]
	if s.at = 0; s.mark > 0 {
		s.mark = 0
	}
	got, err := io.ReadAtLeast(s.r, s.buf[len(s.buf):cap(s.buf)], n-len(s.buf))
	s.buf = s.buf[:len(s.buf)+got]
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		s.err = err
	}
	return err == nil
}

// prove gives what was passed of the TBSCertList to proof.
func (s *listScanner) prove() {
	if s.proof != nil && s.mark >= 0 {
		s.proof.write(s.buf[s.mark:s.at])
		s.mark = s.at
	}
}

// peek is the tag of the next element, 0 for none.
func (s *listScanner) peek() asn1.Tag {
	if !s.need(1) {
		return 0
	}
	return asn1.Tag(s.buf[s.at])
}

// header reads the tag and length at the front, without passing them.
func (s *listScanner) header(tags ...asn1.Tag) (header, content int, ok bool) {
	if !s.need(2) {
		return 0, 0, false
	}
	known := false
	for _, tag := range tags {
		known = known || s.buf[s.at] == byte(tag)
	}
	first := int(s.buf[s.at+1])
	if !known || first < 0x80 {
		return 2, first, known
	}
	size := first & 0x7f
	if size < 1 || size > 4 || !s.need(2+size) {
		return 0, 0, false
	}
	for _, b := range s.buf[s.at+2 : s.at+2+size] {
		content = content<<8 | int(b)
	}
	// DER: no longer than needed.
	if content > math.MaxInt32 || content < 0x80 || size > 1 && content < 1<<(8*(size-1)) {
		return 0, 0, false
	}
	return 2 + size, content, true
}

// open passes tag and length, and returns where the element ends.
func (s *listScanner) open(tag asn1.Tag) (end int, ok bool) {
	header, content, ok := s.header(tag)
	if !ok {
		return 0, false
	}
	s.at += header
	return s.base + s.at + content, true
}

// element passes an element and returns it whole; it holds until the next is read.
func (s *listScanner) element(tags ...asn1.Tag) (cryptobyte.String, bool) {
	header, content, ok := s.header(tags...)
	if !ok || content > maxElement || !s.need(header+content) {
		return nil, false
	}
	one := s.buf[s.at : s.at+header+content]
	s.at += header + content
	return one, true
}

// A listProof verifies the signature of a list that goes by.
type listProof struct {
	issuer    *x509.Certificate
	algorithm []byte
	hash      crypto.Hash
	sum       hash.Hash
	whole     []byte // what came before hash was known; everything where the key signs no hash
}

// begin learns with which algorithm the list is signed.
func (p *listProof) begin(algorithm []byte) error {
	p.algorithm = algorithm
	switch string(algorithm) {
	case derECDSAWithSHA256, derSHA256WithRSA:
		p.hash = crypto.SHA256
	case derECDSAWithSHA384, derSHA384WithRSA:
		p.hash = crypto.SHA384
	case derECDSAWithSHA512, derSHA512WithRSA:
		p.hash = crypto.SHA512
	case derEd25519:
		return nil
	default:
		return fmt.Errorf("signature algorithm %x: want ECDSA or RSA PKCS #1 v1.5 with SHA-2, or Ed25519", algorithm)
	}
	p.sum = p.hash.New()
	p.sum.Write(p.whole)
	p.whole = nil
	return nil
}

func (p *listProof) write(part []byte) {
	if p.sum != nil {
		p.sum.Write(part)
		return
	}
	p.whole = append(p.whole, part...)
}

func (p *listProof) check(signature []byte) error {
	ok := false
	isECDSA := slices.Contains([]string{derECDSAWithSHA256, derECDSAWithSHA384, derECDSAWithSHA512}, string(p.algorithm))
	switch key := p.issuer.PublicKey.(type) {
	case *ecdsa.PublicKey:
		ok = p.sum != nil && isECDSA && ecdsa.VerifyASN1(key, p.sum.Sum(nil), signature)
	case *rsa.PublicKey:
		ok = p.sum != nil && !isECDSA && key.N.BitLen() >= 2048 && rsa.VerifyPKCS1v15(key, p.hash, p.sum.Sum(nil), signature) == nil
	case ed25519.PublicKey:
		ok = p.sum == nil && ed25519.Verify(key, p.whole, signature)
	}
	if !ok {
		return errors.New("the signature is not that of the issuer's key")
	}
	return nil
}
