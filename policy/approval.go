package policy

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A Ballot is one request with what approvers said of it. It is made afresh for every decision: who
// may approve, and what the request says, are taken as they are now.
type Ballot struct {
	Digest     string   // SHA-256 of the request as it stands, hexadecimal
	Requesters []string // ids of the parties on whose word it was asked; they do not approve
	Approvers  []string // ids of the parties that may approve now
	Votes      []Vote
}

// A Vote is what one approver said of a request: a checked [VoteStatement] with its evidence.
type Vote struct {
	Approver string    `json:"approver"`         // party id
	Digest   string    `json:"digest"`           // SHA-256 of the request that was voted on, hexadecimal
	Approve  bool      `json:"approve"`          // false: it rejects
	Reason   string    `json:"reason,omitempty"` //
	At       time.Time `json:"at"`               //
	Object   string    `json:"object"`           // the signed statement, a JWS
}

// A Tally is what the votes on a request come to.
type Tally struct {
	Approved bool       // enough approvers approved exactly this request
	Rejected bool       // one of them rejected it
	By       []string   // whose votes count, in the order of their votes
	Missing  int        // how many more approvals it takes; 0 once it is decided
	Ignored  Violations // why other votes do not count, and why no vote can
}

// Tally counts the votes on a request. A vote counts if its approver may approve now, is none of those who asked, and
// voted on exactly these bytes; of several votes of one approver the last. One that rejects is enough to
// reject. A rule that cannot be fulfilled, such as one of nobody, approves nothing.
func (a Approval) Tally(b Ballot) Tally {
	t := Tally{Missing: max(a.K, 1), Ignored: a.Check()}
	broken := len(t.Ignored) > 0
	refuse := func(v Vote, got, want string) {
		t.Ignored = append(t.Ignored, &Violation{Rule: "approval-vote", Field: "vote of " + quote(v.Approver), Got: got, Want: want})
	}
	for i, v := range b.Votes {
		later := slices.ContainsFunc(b.Votes[i+1:], func(w Vote) bool { return w.Approver == v.Approver })
		switch {
		case b.Digest == "" || v.Digest != b.Digest:
			refuse(v, "on another request, or on this one before it was changed", "a vote on "+b.Digest)
		case slices.Contains(b.Requesters, v.Approver):
			refuse(v, "by who asked", "one by somebody else")
		case !slices.Contains(b.Approvers, v.Approver):
			refuse(v, "by nobody who may approve now", "one of "+list(b.Approvers))
		case later:
		case !v.Approve:
			t.Rejected, t.By = true, append(t.By, v.Approver)
		case !broken && t.Missing > 0:
			t.Missing--
			t.By = append(t.By, v.Approver)
		}
	}
	t.Approved = !broken && !t.Rejected && t.Missing == 0
	if t.Rejected {
		t.Missing = 0
	}
	return t
}

// Check says whether the rule can be fulfilled at all: K of at least one, and of no more than there are.
func (a Approval) Check() Violations {
	var vs Violations
	if a.K < 1 || a.K > a.Of {
		vs = append(vs, &Violation{
			Rule: "approval-rule", Field: "approvals wanted", Got: fmt.Sprintf("%d of %d", a.K, a.Of), Want: "at least 1, and no more than there are approvers",
		})
	}
	if len(a.By) == 0 {
		vs = append(vs, &Violation{Rule: "approval-rule", Field: "approvers", Got: "nobody", Want: "operators or bank"})
	}
	for _, by := range a.By {
		if by != ByOperators && by != ByBank {
			vs = append(vs, &Violation{Rule: "approval-rule", Field: "approvers", Got: quote(by), Want: "operators or bank"})
		}
	}
	return vs
}

// String says how many of whom: "2 of 3 operators".
func (a Approval) String() string {
	return strconv.Itoa(a.K) + " of " + strconv.Itoa(a.Of) + " " + strings.Join(a.By, ", ")
}

// Approval returns the rule.
func (c ApprovalConfig) Approval() Approval {
	return Approval{K: c.K, Of: c.Of, By: []string{c.By}}
}

// Approvals says what else than certificates needs approval, and who gives it.
type Approvals struct {
	// Approvers are the ids of the operators who may approve. No other can, as an operator could register further ones who do. The of of no rule exceeds their number.
	Approvers []string `yaml:"approvers" json:"approvers,omitempty"`
	// Policy is who approves a change of profiles, rules, approvals or endpoints. Nobody has to if it is not given.
	Policy *ApprovalConfig `yaml:"policy,omitempty" json:"policy,omitempty"`
	// Issuers is who approves other issuing CA certificates. Nobody has to if it is not given.
	Issuers *ApprovalConfig `yaml:"issuers,omitempty" json:"issuers,omitempty"`
	// Revocation is who approves that an operator revokes many certificates, or closes a party that has many. Nobody has to if it is not given.
	Revocation *ApprovalConfig `yaml:"revocation,omitempty" json:"revocation,omitempty"`
	// Many is from how many certificates on Revocation applies: 2 if it is not given.
	Many int `yaml:"many,omitempty" json:"many,omitempty"`
	// Expire is how long a request waits for approvers, 1h to 90d: 7d if it is not given.
	Expire Duration `yaml:"expire,omitempty" json:"expire,omitempty"`
}

// ManyOrDefault is Many, or 2.
func (a Approvals) ManyOrDefault() int {
	if a.Many == 0 {
		return 2
	}
	return a.Many
}

// ExpireOrDefault is Expire, or 7 days.
func (a Approvals) ExpireOrDefault() time.Duration {
	if a.Expire == 0 {
		return 7 * day
	}
	return time.Duration(a.Expire)
}

// An ApprovalsError is one thing that is wrong with [Approvals].
type ApprovalsError struct {
	Key  string // path of the key below approvals: "policy.k"
	Text string // what is wrong, and what would be right
}

// Error is the text.
func (e *ApprovalsError) Error() string { return e.Text }

// Check says everything that is wrong with the approvals, and with those of the profiles together with them, by key.
func (a Approvals) Check(profiles []*Profile) []*ApprovalsError {
	var errs []*ApprovalsError
	wrong := func(key, format string, args ...any) {
		errs = append(errs, &ApprovalsError{Key: key, Text: fmt.Sprintf(format, args...)})
	}
	for i, id := range a.Approvers {
		if err := CheckPartyID(id); err != nil {
			wrong(fmt.Sprintf("approvers[%d]", i), "%v", err)
		} else if slices.Contains(a.Approvers[:i], id) {
			wrong(fmt.Sprintf("approvers[%d]", i), "%s stands above too, want it once", quote(id))
		}
	}
	for key, rule := range map[string]*ApprovalConfig{"policy": a.Policy, "issuers": a.Issuers, "revocation": a.Revocation} {
		if rule == nil {
			continue
		}
		for _, f := range rule.faults() {
			wrong(key+"."+f.key, "%s", f.text)
		}
		if rule.By == ByBank {
			wrong(key+".by", "by bank: want operators, only consumers have a bank")
		}
		if n := len(a.Approvers); rule.Of > n {
			wrong(key+".of", "of %d: want at most %d, as many as approvers lists; an operator who is not listed could have been registered by another one", rule.Of, n)
		}
	}
	for _, p := range profiles {
		rule, ok := p.Approval()
		if n := len(a.Approvers); ok && rule.Of > n && slices.Contains(rule.By, ByOperators) {
			wrong("approvers", "approvers are %d: want at least %d, as profile %q wants %s", n, rule.Of, p.Name(), rule)
		}
	}
	if a.Many < 0 || a.Many == 1 {
		wrong("many", "many %d: want at least 2, or 0 for 2", a.Many)
	}
	if d := a.ExpireOrDefault(); d < time.Hour || d > 90*day {
		wrong("expire", "expire %s: want 1h to 90d", a.Expire)
	}
	slices.SortFunc(errs, func(x, y *ApprovalsError) int { return strings.Compare(x.Key, y.Key) })
	return errs
}

// A fault is what is wrong with one key of an [ApprovalConfig].
type fault struct{ key, text string }

func (c ApprovalConfig) faults() []fault {
	var faults []fault
	switch {
	case c.K < 1:
		faults = append(faults, fault{"k", fmt.Sprintf("k %d: want 1 at least; leave the rule out for none", c.K)})
	case c.Of < c.K || c.Of > maxApprovers:
		faults = append(faults, fault{"of", fmt.Sprintf("of %d: want %d (k) to %d", c.Of, c.K, maxApprovers)})
	}
	if c.By != ByOperators && c.By != ByBank {
		faults = append(faults, fault{"by", fmt.Sprintf("by %s: want operators or bank", quote(c.By))})
	}
	return faults
}

// maxApprovers bounds who can be asked.
const maxApprovers = 100
