// Package rules compiles conditions in CEL, the Common Expression Language, to policy.Rule.
//
// # What to call
//
// [NewCompiler] returns the policy.Compiler that policy.CompileProfile takes. [Variables] lists
// what an expression can speak of.
//
// # What is guaranteed
//
//   - An expression is parsed, typed and bounded when it is compiled: it has the type bool, knows only the variables that
//     exist, its regular expressions are constants that are right, and its worst case costs at most [CostLimit].
//   - It reads nothing but the case, has no clock of its own (now is the time of the request), and stops at the same limit when it runs.
//   - A refusal shows the variables that the expression speaks of, with their values.
//   - Rules are safe for concurrent use.
//
// # What is refused
//
// A request for which the expression is false, and one for which it comes to no result: an index out of
// range, a division by zero, a cost over the limit. An expression that is not guaranteed as above is refused when it is compiled.
//
// # Standards
//
// The language is that of https://github.com/google/cel-spec, with the macros has, all, exists, exists_one, map and filter,
// and with the functions of the network extension: ip, cidr, isIP, isCIDR and their members.
package rules
