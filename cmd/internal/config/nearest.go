package config

import (
	"maps"
	"reflect"
	"slices"
	"strings"
)

// nearest names the right key that an unknown key most likely meant: one spelt
// almost alike, else the first in the alphabet that contains it or is contained
// in it, else all there are.
func nearest(key, path string, fields map[string]reflect.Type) string {
	names := slices.Sorted(maps.Keys(fields))
	plain := func(s string) string { return strings.NewReplacer("_", "", "-", "").Replace(strings.ToLower(s)) }
	best, least := "", 3
	for _, name := range names {
		if n := distance(plain(key), plain(name)); n < least && n < len(name) {
			best, least = name, n
		}
	}
	for _, name := range names {
		if best == "" && (strings.Contains(plain(key), plain(name)) || key != "" && strings.Contains(plain(name), plain(key))) {
			best = name
		}
	}
	if best == "" {
		return ", want one of " + strings.Join(names, ", ")
	}
	return `, want "` + strings.TrimPrefix(path+"."+best, ".") + `"`
}

// distance is the number of letters to change, add or drop between a and b.
// Words too long to be a slip of the finger are far from everything.
func distance(a, b string) int {
	if len(a) > 64 || len(b) > 64 {
		return 64
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, diagonal+1)
		}
	}
	return row[len(b)]
}
