package strictjson

import (
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// shorten makes outside text fit for a message: quoted if need be, 40 characters at most.
func shorten(s string) string {
	if len(s) > 40 {
		s = strings.ToValidUTF8(s[:40], "") + "..."
	}
	if quoted := strconv.QuoteToASCII(s); quoted != `"`+s+`"` || s == "" || strings.ContainsAny(s, ". ") {
		return quoted
	}
	return s
}

// list names the members that are known.
func list(known map[string]reflect.Type) string {
	if len(known) == 0 {
		return "no member"
	}
	return "one of " + strings.Join(slices.Sorted(maps.Keys(known)), ", ")
}
