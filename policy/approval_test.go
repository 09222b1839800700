package policy_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/payca/payca/policy"
)

const digest = "2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae"

func yes(approver string) policy.Vote {
	return policy.Vote{Approver: approver, Digest: digest, Approve: true}
}

func no(approver string) policy.Vote { return policy.Vote{Approver: approver, Digest: digest} }

func TestTally(t *testing.T) {
	t.Parallel()
	other := yes("a")
	other.Digest = strings.Repeat("0", 64)
	operators := func(k, of int) policy.Approval {
		return policy.Approval{K: k, Of: of, By: []string{policy.ByOperators}}
	}
	for _, tt := range []struct {
		name      string
		rule      policy.Approval
		approvers string
		votes     []policy.Vote
		approved  bool
		missing   int
		ignored   int
	}{
		{"nobody voted", operators(2, 3), "a b c", nil, false, 2, 0},
		{"one of two", operators(2, 3), "a b c", []policy.Vote{yes("a")}, false, 1, 0},
		{"two of two", operators(2, 3), "a b c", []policy.Vote{yes("a"), yes("c")}, true, 0, 0},
		{"three where two are enough", operators(2, 3), "a b c", []policy.Vote{yes("a"), yes("b"), yes("c")}, true, 0, 0},
		{"the same approver twice", operators(2, 3), "a b c", []policy.Vote{yes("a"), yes("a")}, false, 1, 0},
		{"63 the requester", operators(1, 3), "a b r", []policy.Vote{yes("r")}, false, 1, 1},
		{"63 an approver who was removed", operators(2, 3), "a c", []policy.Vote{yes("a"), yes("b")}, false, 1, 1},
		{"63 a request that was changed after the approval", operators(1, 3), "a b", []policy.Vote{other}, false, 1, 1},
		{"63 k = 0", operators(0, 3), "a b", []policy.Vote{yes("a"), yes("b")}, false, 1, 1},
		{"63 k is negative", operators(-1, 3), "a b", []policy.Vote{yes("a"), yes("b")}, false, 1, 1},
		{"63 k is more than there are approvers", operators(3, 2), "a b", []policy.Vote{yes("a"), yes("b")}, false, 3, 1},
		{"nobody may approve", policy.Approval{K: 1, Of: 1}, "a", []policy.Vote{yes("a")}, false, 1, 1},
		{"a kind of approver that is none", policy.Approval{K: 1, Of: 1, By: []string{"everybody"}}, "a", []policy.Vote{yes("a")}, false, 1, 1},
		{"a zero rule", policy.Approval{}, "a", []policy.Vote{yes("a")}, false, 1, 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got := tt.rule.Tally(policy.Ballot{Digest: digest, Requesters: []string{"r"}, Approvers: strings.Fields(tt.approvers), Votes: tt.votes})
			if got.Approved != tt.approved || got.Missing != tt.missing || len(got.Ignored) != tt.ignored || got.Rejected {
				t.Errorf("got %+v, want approved %t, %d missing, %d ignored", got, tt.approved, tt.missing, tt.ignored)
			}
		})
	}
}

func TestOneRejectionRejectsAndTheLastVoteCounts(t *testing.T) {
	t.Parallel()
	rule := policy.Approval{K: 1, Of: 3, By: []string{policy.ByOperators}}
	for _, tt := range []struct {
		name     string
		votes    []policy.Vote
		rejected bool
		by       string
	}{
		{"a rejection after enough approvals", []policy.Vote{yes("a"), no("b")}, true, "a b"},
		{"a rejection before", []policy.Vote{no("b"), yes("a")}, true, "b a"},
		{"by who changed to no", []policy.Vote{yes("a"), no("a")}, true, "a"},
		{"by who changed to yes", []policy.Vote{no("a"), yes("a")}, false, "a"},
		{"by the requester", []policy.Vote{no("r"), yes("a")}, false, "a"},
		{"by nobody who may", []policy.Vote{no("x"), yes("a")}, false, "a"},
	} {
		got := rule.Tally(policy.Ballot{Digest: digest, Requesters: []string{"r"}, Approvers: []string{"a", "b"}, Votes: tt.votes})
		if got.Rejected != tt.rejected || got.Approved == tt.rejected || !slices.Equal(got.By, strings.Fields(tt.by)) {
			t.Errorf("%s: got %+v, want rejected %t by %s", tt.name, got, tt.rejected, tt.by)
		}
	}
	// Bytes that nobody can name are approved by nobody.
	empty := policy.Vote{Approver: "a", Approve: true}
	if got := rule.Tally(policy.Ballot{Approvers: []string{"a"}, Votes: []policy.Vote{empty}}); got.Approved {
		t.Error("got an approval of a request without a digest")
	}
}

// Of all ballots that votes of three can make, a request is approved exactly when K different ones who may and did not ask
// said yes to it, and nobody who may said no.
func TestTallyAgreesWithItsRule(t *testing.T) {
	t.Parallel()
	voters := []string{"a", "b", "r"}
	for state := range 3 * 3 * 3 * 8 {
		var votes []policy.Vote
		var approvers []string
		said := [3]int{state % 3, state / 3 % 3, state / 9 % 3}
		for i, id := range voters {
			if state/27>>i&1 == 1 {
				approvers = append(approvers, id)
			}
			if said[i] > 0 {
				votes = append(votes, policy.Vote{Approver: id, Digest: digest, Approve: said[i] == 1})
			}
		}
		for k := range 4 {
			yes, no := 0, 0
			for i, id := range voters {
				if id != "r" && slices.Contains(approvers, id) {
					yes += boolInt(said[i] == 1)
					no += boolInt(said[i] == 2)
				}
			}
			rule := policy.Approval{K: k, Of: 3, By: []string{policy.ByOperators}}
			got := rule.Tally(policy.Ballot{Digest: digest, Requesters: []string{"r"}, Approvers: approvers, Votes: votes})
			if want := k >= 1 && yes >= k && no == 0; got.Approved != want || got.Rejected != (no > 0) {
				t.Fatalf("k %d, approvers %v, votes %v: got %+v, want approved %t", k, approvers, votes, got, want)
			}
		}
	}
}

func boolInt(b bool) int {
	if b {
		return 1
	}
	return 0
}
