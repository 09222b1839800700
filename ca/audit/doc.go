// Package audit keeps an append-only Merkle log of events with signed heads.
package audit
