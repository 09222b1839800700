package policy

import (
	"strings"
	"testing"
)

func TestPatterns(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, pattern, dns, party string
		want                      bool
	}{
		{"a plain name", "shops.example", "shops.example", "shop1", true},
		{"another name", "shops.example", "banks.example", "shop1", false},
		{"a name below", "shops.example", "a.shops.example", "shop1", false},
		{"a name above", "a.shops.example", "shops.example", "shop1", false},
		{"the party", "{party}.shops.example", "shop1.shops.example", "shop1", true},
		{"another party", "{party}.shops.example", "shop2.shops.example", "shop1", false},
		{"the party within a label", "pos-{party}.shops.example", "pos-shop1.shops.example", "shop1", true},
		{"a star for one label", "*.{party}.shops.example", "www.shop1.shops.example", "shop1", true},
		{"17 a star for two labels", "*.{party}.shops.example", "a.b.shop1.shops.example", "shop1", false},
		{"17 a star for no label", "*.{party}.shops.example", "shop1.shops.example", "shop1", false},
		{"17 a star for an empty label", "*.shops.example", ".shops.example", "shop1", false},
		{"a dot in the party widens nothing", "{party}.shops.example", "www.shop2.shops.example", "www.shop2", false},
		{"a dot in the party is no label", "*.{party}.shops.example", "x.a.b.shops.example", "a.b", false},
		{"a star in the party is no wildcard", "{party}.shops.example", "anything.shops.example", "*", false},
		{"a variable in the party is not put in again", "{party}.shops.example", "shop1.shops.example", "{party}", false},
		{"a party that ends in a hyphen", "{party}.shops.example", "a-.shops.example", "a-", false},
		{"no party", "x{party}.shops.example", "x.shops.example", "", true},
		{"no party alone in a label", "{party}.shops.example", ".shops.example", "", false},
		{"a label over 63", "x{party}.shops.example", "x" + strings.Repeat("a", 63) + ".shops.example", strings.Repeat("a", 63), false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p, err := parsePattern(tt.pattern, false)
			if err != nil {
				t.Fatal(err)
			}
			if got := p.matches(tt.dns, tt.party); got != tt.want {
				t.Errorf("%s for %s: got %t, want %t", tt.dns, tt.party, got, tt.want)
			}
			if name, ok := p.expand(tt.party); ok && !strings.Contains(name, "*") && !p.matches(name, tt.party) {
				t.Errorf("expands to %s, which it does not match", name)
			}
		})
	}
	for _, text := range []string{
		"", "*", "*.com", "{party}.com", "shops", "*.*.example", "a.*", "a*.shops.example", "shops.{party}", "{PARTY}.shops.example", "{party}{party}.shops.example",
		"{network}.shops.example", ".shops.example", "shops.example.", "a..example", "Shops.example.test", "-a.shops.example", "192.0.2.1", strings.Repeat("a.", 127) + "example",
		strings.Repeat("a", 64) + ".shops.example", "a\x00.shops.example", "ä.shops.example",
	} {
		if p, err := parsePattern(text, false); err == nil {
			t.Errorf("%q: got %v, want an error", text, p)
		}
	}
	if _, err := parsePattern("*.shops.example", true); err == nil {
		t.Error("got a star among fixed names, want an error")
	}
}

// What a pattern lets through is a host name with as many labels as it has, ends in its plain end, and
// holds the party in nothing but its own label.
func FuzzPattern(f *testing.F) {
	for _, seed := range [][3]string{
		{"{party}.shops.example", "shop1.shops.example", "shop1"}, {"*.{party}.shops.example", "a.b.shops.example", "b"}, {"a.b.c", "a.b.c", "..*"}, {"{party}.a.b", "*.a.b", "*"},
	} {
		f.Add(seed[0], seed[1], seed[2])
	}
	f.Fuzz(func(t *testing.T, pattern, name, party string) {
		p, err := parsePattern(pattern, false)
		if err != nil || dnsFault(name) != "" || !p.matches(name, party) {
			return
		}
		labels := strings.Split(name, ".")
		if len(labels) != len(p) || labels[len(p)-1] != p[len(p)-1] || labels[len(p)-2] != p[len(p)-2] {
			t.Fatalf("%q lets %q through for %q", pattern, name, party)
		}
	})
}
