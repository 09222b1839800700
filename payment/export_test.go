package payment

// ConcatKDF is the key derivation, for the vector of RFC 7518 appendix C.
var ConcatKDF = concatKDF
