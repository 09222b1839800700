// Package money holds amounts: whole minor units of one currency, and arithmetic that never rounds or overflows unnoticed.
//
// # What to call first
//
// [Parse] reads an amount as people write it, [New] takes minor units, and
// [Money.Check] says whether it is something that can be paid. [Money.String]
// writes it down again.
//
// # What is guaranteed
//
//   - No floating point. A result is exact, or it is an error; only
//     [Money.BasisPoints] rounds, half to even.
//   - Every result lies within -[MaxMinor] and +[MaxMinor], so that it
//     survives JSON readers whose numbers are IEEE 754 doubles.
//   - Amounts of two currencies are never added or compared.
//   - Parse accepts what [Money.Decimal] writes for amounts that are not negative.
//
// # What is refused
//
// Everything else, by an [*Error] that says the field, what was found and what
// would be right. A Money that was read from outside, by JSON for example, may
// hold anything: call Check.
//
// # Standards
//
// ISO 4217: alphabetic and numeric codes and the minor unit of each currency,
// funds codes included; metals, testing codes, units of account and "no currency" left out.
package money
