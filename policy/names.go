package policy

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

const wantDNSName = "a host name: lower-case letters, digits and hyphens, in labels of 1 to 63, at most 253 in all"

// CheckDNSName accepts what a certificate may carry as a dNSName (RFC 5280
// section 4.2.1.6, RFC 1034 section 3.5), in lower case: no wildcard, no
// trailing dot, no text of an IP address. The error is a *[Violation].
func CheckDNSName(name string) error {
	if fault := dnsFault(name); fault != "" {
		return &Violation{Rule: "dns-name", Field: "DNS name", Got: quote(name) + ", " + fault, Want: wantDNSName}
	}
	return nil
}

// dnsFault says what is wrong with a DNS name, "" when nothing is.
func dnsFault(name string) string {
	switch {
	case name == "":
		return "which is empty"
	case len(name) > 253:
		return fmt.Sprintf("which has %d characters", len(name))
	}
	var last string
	for label := range strings.SplitSeq(name, ".") {
		if fault := labelFault(label); fault != "" {
			return fault
		}
		last = label
	}
	// A last label of digits is how IPv4 addresses are told from names.
	if strings.Trim(last, "0123456789") == "" {
		return "which is an IP address or ends in a number"
	}
	return ""
}

func labelFault(label string) string {
	switch {
	case label == "":
		return "which has an empty label (a leading, trailing or double dot)"
	case len(label) > 63:
		return fmt.Sprintf("which has a label of %d characters", len(label))
	case label[0] == '-' || label[len(label)-1] == '-':
		return "which has a hyphen at the edge of a label"
	}
	for _, r := range label {
		if !('a' <= r && r <= 'z' || '0' <= r && r <= '9' || r == '-') {
			return fmt.Sprintf("which has the character %q", r)
		}
	}
	return ""
}

// within says whether name is domain or lies below it.
func within(name, domain string) bool {
	return name == domain || strings.HasSuffix(name, "."+domain)
}

// printable says whether s is text that shows as it is: valid UTF-8 without
// control, format and private characters.
func printable(s string) bool {
	return utf8.ValidString(s) && strings.IndexFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) < 0
}

// quote renders outside text on one line and at a bounded length.
func quote(s string) string {
	const limit = 100
	if len(s) > limit {
		return strconv.Quote(s[:limit]) + "..."
	}
	return strconv.Quote(s)
}

// CheckText accepts 1 to limit printable characters, for what people write into records.
func CheckText(text string, limit int) error {
	if n := utf8.RuneCountInString(text); n < 1 || n > limit {
		return fmt.Errorf("%d characters, want 1 to %d", n, limit)
	}
	if !printable(text) {
		return fmt.Errorf("%s, want printable text", quote(text))
	}
	return nil
}
