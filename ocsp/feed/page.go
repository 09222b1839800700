package feed

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Good is the state of a [Certificate] of a page that is neither revoked nor held.
const Good State = "good"

const (
	maxSerial = 20       // octets, RFC 5280 section 4.1.2.2
	maxNote   = 16 << 10 // octets of the note of a page
	pageSalt  = "/issued"
	pageLines = 6
)

// A Certificate is one that was issued, and its status when the page that it stands in was read.
type Certificate struct {
	Issuer     string // name of the issuing CA
	Serial     []byte // magnitude, big endian, without leading zeros, 1 to 20 octets
	State      State  // Good, Revoked or Held
	Reason     int    // reason code of RFC 5280 section 5.3.1, when not good
	At         time.Time
	Invalidity time.Time // since when the key is suspected; zero if not known
}

// A Page is a part of the list of all certificates that were ever issued, in the order of issuance. The pages of a list can be
// put together from any server: each is signed, and says where in the list it stands.
type Page struct {
	Origin       string    // whose list, as in [Checkpoint]
	From, Next   uint64    // it holds every certificate at these positions, From included, Next not
	End          bool      // there was none after it
	AsOf         time.Time // when it was read, whole seconds
	Certificates []Certificate
}

// Sign returns the signed page: the length of a note in four octets, the note, and the certificates, whose hash the note has.
func (p Page) Sign(key ed25519.PrivateKey) ([]byte, error) {
	numbers := map[string]int{}
	var issuers []string
	body := make([]byte, 0, 24*len(p.Certificates))
	for i := range p.Certificates {
		c := &p.Certificates[i]
		number, known := numbers[c.Issuer]
		if !known {
			number = len(issuers)
			numbers[c.Issuer] = number
			issuers = append(issuers, c.Issuer)
		}
		var err error
		if body, err = c.append(body, number); err != nil {
			return nil, fmt.Errorf("signing a page: certificate %x of %s: %w", c.Serial, c.Issuer, err)
		}
	}
	end := "more"
	if p.End {
		end = "end"
	}
	sum := sha256.Sum256(body)
	text := fmt.Sprintf("%s\n%d %d\n%s\n%d\n%s\n%s\n", p.Origin+pageSalt, p.From, p.Next, end, p.AsOf.Unix(),
		strings.Join(issuers, " "), base64.StdEncoding.EncodeToString(sum[:]))
	signed, err := sign(p.Origin, text, key)
	if err != nil {
		return nil, fmt.Errorf("signing a page: %w", err)
	}
	if len(signed) > maxNote {
		return nil, fmt.Errorf("signing a page: note of %d octets, want at most %d", len(signed), maxNote)
	}
	return append(append(binary.BigEndian.AppendUint32(nil, uint32(len(signed))), signed...), body...), nil
}

// append writes a certificate: number of the issuer, length of the serial, serial, reason and state, and for one that is not good since
// when, and since when the key is suspected.
func (c *Certificate) append(dst []byte, issuer int) ([]byte, error) {
	state, ok := map[State]byte{Good: 0, Revoked: 1, Held: 2}[c.State]
	switch {
	case !ok || c.Reason < 0 || c.Reason > 15 || state == 0 && c.Reason != 0:
		return nil, fmt.Errorf("state %q for reason %d, want good, revoked or held", c.State, c.Reason)
	case issuer > 255 || len(c.Serial) == 0 || len(c.Serial) > maxSerial || c.Serial[0] == 0:
		return nil, fmt.Errorf("serial of %d octets of issuer %d, want 1 to %d, the first not 0, of 256 issuers", len(c.Serial), issuer, maxSerial)
	}
	dst = append(append(dst, byte(issuer), byte(len(c.Serial))), c.Serial...)
	dst = append(dst, byte(c.Reason)<<4|state)
	if state == 0 {
		return dst, nil
	}
	return appendTime(appendTime(dst, c.At), c.Invalidity), nil
}

// appendTime writes seconds since 1970, 0 for the zero time.
func appendTime(dst []byte, t time.Time) []byte {
	if t.IsZero() {
		return append(dst, 0)
	}
	return binary.AppendUvarint(dst, uint64(max(1, t.Unix())))
}

var errPage = errors.New("page is cut off or has an entry of another form")

// ParsePage verifies a signed page and reads it. That its place fits what the caller has is for the caller to look at.
func ParsePage(raw []byte, verifierKey string) (Page, error) {
	if len(raw) < 4 || uint64(binary.BigEndian.Uint32(raw)) > min(maxNote, uint64(len(raw)-4)) {
		return Page{}, errPage
	}
	signed, body := raw[4:4+binary.BigEndian.Uint32(raw)], raw[4+binary.BigEndian.Uint32(raw):]
	lines, name, err := open(signed, verifierKey, pageLines)
	if err != nil {
		return Page{}, fmt.Errorf("verifying a page of issued certificates: %w", err)
	}
	p := Page{Origin: name, End: lines[2] == "end"}
	if lines[0] != name+pageSalt || !p.End && lines[2] != "more" {
		return Page{}, fmt.Errorf("page of %q that ends with %q, want %s, end or more", lines[0], lines[2], name+pageSalt)
	}
	from, next, _ := strings.Cut(lines[1], " ")
	if p.From, err = parseNumber("page begins at", from); err != nil {
		return Page{}, err
	}
	if p.Next, err = parseNumber("page ends at", next); err != nil {
		return Page{}, err
	}
	at, err := parseNumber("page is as of", lines[3])
	if err != nil {
		return Page{}, err
	}
	p.AsOf = time.Unix(int64(at), 0).UTC()
	if sum := sha256.Sum256(body); lines[5] != base64.StdEncoding.EncodeToString(sum[:]) {
		return Page{}, fmt.Errorf("page has entries of SHA-256 %x, want those that were signed", sum)
	}
	if p.Next < p.From {
		return Page{}, fmt.Errorf("page from %d to %d, want forward", p.From, p.Next)
	}
	p.Certificates, err = parseEntries(body, strings.Fields(lines[4]))
	return p, err
}

// parseEntries reads what Certificate.append wrote. The serials lie in body.
func parseEntries(body []byte, issuers []string) ([]Certificate, error) {
	list := make([]Certificate, 0, len(body)/23)
	states := [3]State{Good, Revoked, Held}
	for len(body) > 0 {
		if len(body) < 4 || int(body[0]) >= len(issuers) || body[1] == 0 || body[1] > maxSerial || len(body) < 3+int(body[1]) || body[2] == 0 {
			return nil, errPage
		}
		c := Certificate{Issuer: issuers[body[0]], Serial: body[2 : 2+body[1]]}
		what := body[2+body[1]]
		body = body[3+body[1]:]
		if what&15 >= byte(len(states)) || what&15 == 0 && what != 0 {
			return nil, errPage
		}
		if c.State, c.Reason = states[what&15], int(what>>4); what != 0 {
			var ok [2]bool
			c.At, body, ok[0] = parseTime(body)
			c.Invalidity, body, ok[1] = parseTime(body)
			if !ok[0] || !ok[1] {
				return nil, errPage
			}
		}
		list = append(list, c)
	}
	return list, nil
}

func parseTime(body []byte) (time.Time, []byte, bool) {
	n, size := binary.Uvarint(body)
	if size <= 0 || n >= 1<<62 || size > 1 && body[size-1] == 0 {
		return time.Time{}, nil, false
	}
	if n == 0 {
		return time.Time{}, body[size:], true
	}
	return time.Unix(int64(n), 0).UTC(), body[size:], true
}
