// Package strictjson decodes JSON from outside without the leniency of
// encoding/json: no duplicate members, no unknown or mis-cased members, no
// trailing data, no invalid UTF-8, bounded depth, and integers that every
// JSON implementation reads alike (RFC 7493, I-JSON).
package strictjson
