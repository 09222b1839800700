package paytest_test

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/payca/payca/payment/account"
	"github.com/payca/payca/payment/paytest"
)

// encodings returns every form in which a secret might be found.
func encodings(secret string) map[string][]byte {
	raw := []byte(secret)
	reversed := slices.Clone(raw)
	slices.Reverse(reversed)
	var spaced, dashed, escaped, little, big []byte
	for i, c := range raw {
		if i > 0 && i%4 == 0 {
			spaced, dashed = append(spaced, ' '), append(dashed, '-')
		}
		spaced, dashed = append(spaced, c), append(dashed, c)
		escaped = fmt.Appendf(escaped, "%%%02X", c)
	}
	for _, unit := range utf16.Encode([]rune(secret)) {
		little, big = binary.LittleEndian.AppendUint16(little, unit), binary.BigEndian.AppendUint16(big, unit)
	}
	forms := map[string][]byte{
		"raw": raw, "spaced": spaced, "dashed": dashed, "reversed": reversed, "hex": []byte(hex.EncodeToString(raw)),
		"upper hex": bytes.ToUpper([]byte(hex.EncodeToString(raw))), "URL-escaped": escaped, "UTF-16LE": little, "UTF-16BE": big,
	}
	for name, encoding := range map[string]*base64.Encoding{"base64": base64.RawStdEncoding, "base64url": base64.RawURLEncoding} {
		for before := range 3 {
			forms[fmt.Sprintf("%s at %d", name, before)] = aligned(encoding, raw, before)
		}
	}
	return forms
}

// aligned returns what base64 makes of raw in the middle of a text, of which it stands that many octets after a multiple
// of three: the characters that do not depend on the neighbours.
func aligned(encoding *base64.Encoding, raw []byte, before int) []byte {
	text := []byte(encoding.EncodeToString(append(make([]byte, before), raw...)))
	text = text[(before*8+5)/6:]
	if (before+len(raw))%3 != 0 {
		text = text[:len(text)-1]
	}
	return text
}

// find names the forms of a secret that data holds.
func find(data []byte, secret string) (found []string) {
	for name, form := range encodings(secret) {
		if bytes.Contains(data, form) {
			found = append(found, name)
		}
	}
	slices.Sort(found)
	return found
}

var (
	tokens  = regexp.MustCompile(`[A-Za-z0-9_-]{24,}`)
	numbers = regexp.MustCompile(paytest.BIN + `[0-9]{7,13}`)
)

// findNumbers lists digit runs that could be account numbers of the issuing bank, also in what base64url hides.
func findNumbers(data []byte) (found []string) {
	texts := [][]byte{data}
	for _, token := range tokens.FindAll(data, -1) {
		if plain, err := base64.RawURLEncoding.DecodeString(string(token[:len(token)/4*4])); err == nil {
			texts = append(texts, plain)
		}
	}
	for _, text := range texts {
		if !bytes.Contains(text, []byte(paytest.BIN)) {
			continue
		}
		for _, run := range numbers.FindAll(text, -1) {
			for n := 13; n <= len(run); n++ {
				if _, err := account.ParseNumber(string(run[:n])); err == nil {
					found = append(found, string(run[:n]))
				}
			}
		}
	}
	return found
}

// files reads everything under a directory.
func files(t *testing.T, dir string) []byte {
	t.Helper()
	var all bytes.Buffer
	err := filepath.WalkDir(dir, func(path string, entry os.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		raw, err := os.ReadFile(path)
		all.WriteString(path + "\n")
		all.Write(raw)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all.Bytes()
}

func TestTheSearchFindsASecretInEveryEncoding(t *testing.T) {
	t.Parallel()
	number, err := account.RandomNumber(paytest.BIN)
	if err != nil {
		t.Fatal(err)
	}
	secret := number.Reveal()
	for name, form := range encodings(secret) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, "planted"), slices.Concat([]byte("before "), form, []byte(" after")), 0o600); err != nil {
				t.Fatal(err)
			}
			if found := find(files(t, dir), secret); !slices.Contains(found, name) {
				t.Errorf("found %v, want %s", found, name)
			}
		})
	}
	for before := range 3 {
		text := strings.Repeat("x", before) + `"` + secret + `"}`
		for _, encoding := range []*base64.Encoding{base64.StdEncoding, base64.RawURLEncoding} {
			if found := find([]byte(encoding.EncodeToString([]byte(text))), secret); len(found) == 0 {
				t.Errorf("not found in the base64 of a document, %d octets further", before)
			}
		}
	}
	if found := findNumbers([]byte(base64.RawURLEncoding.EncodeToString([]byte(`{"field":"value","n":"` + secret + `"}`)))); !slices.Contains(found, secret) {
		t.Errorf("digit runs: found %v, want the number", found)
	}
	if found := findNumbers([]byte("6228481234567")); len(found) != 0 && found[0] != "6228481234567" {
		t.Errorf("digit runs: found %v in a number with a wrong check digit", found)
	}
}
