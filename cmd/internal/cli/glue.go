package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/url"
	"strings"

	"github.com/spf13/cobra"

	"github.com/payca/payca/enroll/problem"
	"github.com/payca/payca/ocsp"
	"github.com/payca/payca/payment"
	"github.com/payca/payca/policy"
)

// show prints a result: v as one line of JSON with --json, else what text
// writes, with control characters escaped. Lists call it once an item.
func (a *app) show(v any, text func(io.Writer)) error {
	if a.json {
		encoder := json.NewEncoder(a.out)
		encoder.SetEscapeHTML(false)
		return encoder.Encode(v)
	}
	var b bytes.Buffer
	text(&b)
	for line := range strings.Lines(b.String()) {
		if _, err := io.WriteString(a.out, printable(strings.TrimSuffix(line, "\n"))+"\n"); err != nil {
			return err
		}
	}
	return nil
}

// fail is an error with an exit code and a hint, "" for none.
func fail(code int, err error, hint string) error {
	return &exitError{code: code, err: err, hint: hint}
}

// errShown ends with a code after the result said why.
var errShown = errors.New("the result says why")

// silent ends with an exit code after the result said why.
func silent(code int) error { return fail(code, errShown, "") }

// explain gives an error from the CA, or on the way to it, its exit code and hint.
func explain(err error) error {
	if err == nil || errors.As(err, new(*exitError)) {
		return err
	}
	var refusal *problem.Problem
	var call *url.Error
	switch {
	case errors.As(err, &refusal) && refusal.Name() == string(payment.Unavailable):
		return fail(ExitFailure, err, "start that agent, and give the command again: nothing is done twice")
	case errors.As(err, &refusal) && refusal.Status >= 500:
		return fail(ExitFailure, err, "the CA's log has the cause, under "+refusal.Instance)
	case errors.As(err, &refusal) && len(refusal.Violations) > 1:
		return fail(ExitRefused, byLine{refusal}, hintFor(refusal))
	case errors.As(err, &refusal):
		return fail(ExitRefused, err, hintFor(refusal))
	case errors.As(err, new(*ocsp.RevokedError)), errors.As(err, new(*ocsp.UnknownError)), policy.ViolationsOf(err) != nil:
		return fail(ExitInvalid, err, "")
	case errors.As(err, new(*net.OpError)), errors.Is(err, context.DeadlineExceeded), errors.As(err, &call) && call.Timeout():
		return fail(ExitUnreachable, err, "is the CA running? payca serve starts it")
	}
	return err
}

// byLine is a refusal for several reasons, one a line.
type byLine struct{ *problem.Problem }

// Error is the reasons.
func (e byLine) Error() string {
	lines := make([]string, len(e.Violations))
	for i, v := range e.Violations {
		lines[i] = v.Error()
	}
	return strings.Join(lines, "\n")
}

// Unwrap returns the refusal.
func (e byLine) Unwrap() error { return e.Problem }

// hintFor says what to do about a refusal.
func hintFor(p *problem.Problem) string {
	switch p.Name() {
	case "token-used", "token-cancelled", "token-time", "token-key", "token-signature":
		return "ask for a new one: payca token create PARTY"
	case "several-certificates":
		return "change them all: --all"
	case "exists":
		return "payca party show ID shows it"
	case "request-settled":
		return "payca request list --state all shows what became of it; a new one takes a new token"
	case "wrong-role":
		return "operators may do this; --dir names the directory with the operator's identity"
	}
	return ""
}

// abbreviate shortens a fingerprint for people: d8ba…af04.
func abbreviate(fingerprint string) string {
	if len(fingerprint) < 12 {
		return fingerprint
	}
	return fingerprint[:4] + "…" + fingerprint[len(fingerprint)-4:]
}

// atMost takes up to n words.
func atMost(n int) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		if len(args) > n {
			return usageErrorf("unexpected argument %q", args[n])
		}
		return nil
	}
}

// exactly takes one word for each name.
func exactly(names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) < len(names) {
			return usageErrorf("%s is missing", names[len(args)])
		}
		return atMost(len(names))(cmd, args)
	}
}
