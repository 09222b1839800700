// Package account holds account data in clear: the payment instruction, how it is sealed
// and opened, and how an issuing bank keeps account numbers at rest.
//
// The merchant, the acquiring bank and package payment never import it, not even through others; a
// test of the import graph holds that. So what they can leak of an account is what the other
// packages carry: digests and sealed objects.
//
// # What to call first
//
// A consumer makes an [Instruction] and seals it to the gateway with [Instruction.Encode] and
// payment.Seal. Gateway and issuing bank call [Open], which checks the instruction against the dual signature. A bank keeps
// numbers in a [Vault].
//
// # Guarantees
//
// A [Number] shows itself to nobody: printing, logging and encoding it gives [Redacted]. Only
// [Number.Reveal] returns the digits, so that a search for its callers finds every use.
//
// # Standards
//
// Account numbers: ISO/IEC 7812-1 with the check digit of its annex B (Luhn). ISO 8583:1987
// message 0100. Encryption at rest: AES-256-GCM (NIST SP 800-38D).
package account
