// Package ledger keeps double-entry accounts with two-phase transfers, inside a bbolt transaction that the caller owns.
//
// State, money and log of a caller so commit together, or not at all.
//
// # What to call first
//
// [Create] makes the buckets, once. In every transaction after that, [In]
// gives a [Book]: [Book.Open] opens an account, and [Book.Post] is the one way
// to move money. [TransferID] derives the id of a transfer from the names of
// what causes it, so that a retry has the same id.
//
// # The model
//
// A [Transfer] moves whole minor units from the account it debits to the
// account it credits. [KindDirect] moves them at once. [KindHold] sets them
// aside; [KindCapture] moves what was set aside, in as many parts as wanted,
// until the hold is closed, and [KindVoid] releases the rest. A void may
// arrive before its hold: it leaves a tombstone, and the hold that comes after
// it is refused. The ledger has no clock: an expired hold stays open, and can be captured,
// until somebody voids it. [Book.ExpiredHolds] finds the candidates.
//
// # What is guaranteed
//
//   - Transfers and entries are never changed or removed.
//   - A transfer takes effect once: posting it again returns the first one, and posting another under its id is refused.
//   - Post checks everything before it writes anything. After a refusal
//     nothing has changed, and the transaction can go on.
//   - Debits equal credits per currency, posted and pending alike. An account
//     never breaks its [Rule]: what is held is as good as spent.
//   - Arithmetic is checked; no sum wraps around.
//
// [Book.Check] verifies that debits equal credits, and the rules, on the records as they are.
//
// # What is refused
//
// Each by its own type: [*Error] for a transfer or an account that no state of the
// book would accept, [*money.Error] for an amount, [*ConflictError],
// [*InsufficientError], [*ExceedsHoldError], [*HoldStateError] and
// [*OverflowError] for what the state of the book does not allow, and
// [ErrNotFound]. Any other error, a [*CorruptError] or one from bbolt, means that the transaction has to be rolled back.
package ledger
