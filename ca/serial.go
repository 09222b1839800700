package ca

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"math/big"
	"strings"
	"time"
)

// A Serial is a certificate serial number: a positive integer of at most 20
// octets, big endian (RFC 5280 section 4.1.2.2). Serials of one network are
// unique over all its issuers.
type Serial [20]byte

// randomSerial is how many octets of a serial are random: twice the 64 bits that the CA/Browser Forum asks for.
const randomSerial = 16

// NewSerial makes a serial of the time and of 128 random bits from random: the last 31 bits of the time in seconds stand before
// them, so that those of one time are neighbours in every index, and a commit of many certificates writes few places of it.
func NewSerial(random io.Reader, at time.Time) (Serial, error) {
	var s Serial
	binary.BigEndian.PutUint32(s[:], uint32(at.Unix())&^(1<<31))
	if _, err := io.ReadFull(random, s[len(s)-randomSerial:]); err != nil {
		return Serial{}, fmt.Errorf("reading randomness for a serial: %w", err)
	}
	return s, nil
}

// SerialOf converts n, refusing zero, negative numbers and more than 20 octets.
func SerialOf(n *big.Int) (Serial, error) {
	if n == nil || n.Sign() <= 0 || n.BitLen() > 159 {
		return Serial{}, fmt.Errorf("serial %v: want a positive integer of at most 159 bits", n)
	}
	var s Serial
	n.FillBytes(s[:])
	return s, nil
}

// ParseSerial reads hexadecimal as tools print it: any case, with or without
// colons, spaces or a leading 0x.
func ParseSerial(text string) (Serial, error) {
	clean := strings.NewReplacer(":", "", " ", "").Replace(strings.ToLower(strings.TrimSpace(text)))
	clean = strings.TrimPrefix(clean, "0x")
	if len(clean)%2 == 1 {
		clean = "0" + clean
	}
	raw, err := hex.DecodeString(clean)
	if err != nil || len(raw) == 0 {
		return Serial{}, fmt.Errorf("serial %q: want hexadecimal digits", text)
	}
	return SerialOf(new(big.Int).SetBytes(raw))
}

// Int returns the serial as an integer.
func (s Serial) Int() *big.Int { return new(big.Int).SetBytes(s[:]) }

// String returns lower-case hexadecimal without leading zero octets.
func (s Serial) String() string {
	text := strings.TrimLeft(hex.EncodeToString(s[:]), "0")
	if len(text)%2 == 1 {
		text = "0" + text
	}
	return text
}

// MarshalText writes the form of [Serial.String].
func (s Serial) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads the forms of [ParseSerial].
func (s *Serial) UnmarshalText(text []byte) error {
	parsed, err := ParseSerial(string(text))
	if err != nil {
		return err
	}
	*s = parsed
	return nil
}
