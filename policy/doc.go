// Package policy decides which certificate a party of a payment network may hold. It reads nothing and keeps nothing.
package policy
