package cli

import (
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/payca/payca/ca"
	"github.com/payca/payca/cmd/internal/api"
	"github.com/payca/payca/cmd/internal/network"
	"github.com/payca/payca/enroll"
)

func newTokenCommand(a *app) *cobra.Command {
	cmd := &cobra.Command{Use: "token", Short: "Make, list and cancel one-time enrollment tokens"}
	cmd.AddCommand(newTokenCreateCommand(a), newTokenListCommand(a), newTokenCancelCommand(a))
	return cmd
}

// tokenOptions is what a token is to be.
type tokenOptions struct {
	profile, csr, key string
	ttl               time.Duration
}

func newTokenCreateCommand(a *app) *cobra.Command {
	var o tokenOptions
	cmd := &cobra.Command{
		Use:   "create PARTY",
		Short: "Make a token that enrolls a party once",
		Long: `Make a token that enrolls a party once. The token names the CA and its root, so
payca enroll TOKEN works from an empty directory. Bound to a request or a key that
the party sent ahead, it is of no use to anybody else.

  PARTY  id of a registered party`,
		Example: "  payca token create shop1",
		Args:    exactly("PARTY"),
		RunE: func(cmd *cobra.Command, args []string) error {
			req, err := o.request(args[0])
			if err != nil {
				return err
			}
			client, err := a.operator()
			if err != nil {
				return err
			}
			token, err := client.CreateToken(cmd.Context(), req)
			if err != nil {
				return explain(err)
			}
			bound := ""
			switch {
			case token.Request != "":
				bound = "for request sha256:" + abbreviate(token.Request) + " alone, "
			case token.Key != "":
				bound = "for key sha256:" + abbreviate(token.Key) + " alone, "
			}
			a.storyf("Token %s: one use, %suntil %s; it names the CA and its root", token.ID, bound, token.NotAfter.Format("15:04:05Z"))
			return a.show(token, func(w io.Writer) { fmt.Fprintln(w, token.Token) })
		},
	}
	cmd.Flags().StringVar(&o.profile, "profile", "", "profile of the certificate (default: the one of the party's role)")
	cmd.Flags().DurationVar(&o.ttl, "ttl", time.Hour, "how long the token may be used")
	cmd.Flags().StringVar(&o.csr, "csr", "", "`file` with the only certificate request that the token may be used with, PEM")
	cmd.Flags().StringVar(&o.key, "key", "", "`file` with the only key that the token is for: a public key, request or certificate, PEM")
	return cmd
}

func (o *tokenOptions) request(party string) (api.TokenRequest, error) {
	req := api.TokenRequest{Party: party, Profile: o.profile, Seconds: int(o.ttl.Seconds())}
	if o.ttl < time.Second {
		return req, usageErrorf("--ttl is %s, want at least 1s", o.ttl)
	}
	var err error
	switch {
	case o.csr != "" && o.key != "":
		return req, usageErrorf("--csr and --key, want one of them: a request is on one key")
	case o.csr != "":
		req.CSR, err = readRequest(o.csr)
	case o.key != "":
		req.Key, err = publicKeyIn(o.key)
	}
	return req, err
}

// readRequest reads a certificate request in PEM; it is sent as it is.
func readRequest(file string) ([]byte, error) {
	raw, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(raw)
	if block == nil || block.Type != "CERTIFICATE REQUEST" && block.Type != "NEW CERTIFICATE REQUEST" {
		return nil, usageErrorf("--csr: %s holds no certificate request in PEM", file)
	}
	return block.Bytes, nil
}

func newTokenListCommand(a *app) *cobra.Command {
	var party, state string
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the tokens that were made",
		Long: `List the tokens that were made, and what became of them: who used them, from where and
when, or who cancelled them. The tokens themselves are shown only once, by payca token create.
A token is forgotten a day after its end.`,
		Example: "  payca token list --party shop1",
		Args:    atMost(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			client, err := a.clientAs(a.as)
			if err != nil {
				return err
			}
			query := url.Values{}
			for name, value := range map[string]string{"party": party, "state": state} {
				if value != "" {
					query.Set(name, value)
				}
			}
			for token, err := range client.Tokens(cmd.Context(), query) {
				if err != nil {
					return explain(err)
				}
				if err := a.show(token, func(w io.Writer) { printToken(w, token) }); err != nil {
					return err
				}
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&party, "party", "", "only for this party")
	cmd.Flags().StringVar(&state, "state", "", "only open, used, cancelled or expired ones")
	cmd.Flags().StringVar(&a.as, "as", network.Operator, "identity in --dir that asks: an operator or an auditor")
	return cmd
}

// printToken writes one line.
func printToken(w io.Writer, t api.TokenView) {
	fate := "until " + t.NotAfter.Format(timeLayout)
	switch {
	case t.Used != nil && t.Used.Request != "":
		fate = fmt.Sprintf("by %s from %s at %s, for request %.16s", t.Used.Party, t.Used.From, t.Used.At.Format(timeLayout), t.Used.Request)
	case t.Used != nil:
		fate = fmt.Sprintf("by %s from %s at %s, for certificate %s", t.Used.Party, t.Used.From, t.Used.At.Format(timeLayout), t.Used.Serial)
	case t.Cancelled != nil:
		fate = fmt.Sprintf("by %s at %s", t.Cancelled.By, t.Cancelled.At.Format(timeLayout))
	case t.State == ca.TokenExpired:
		fate = "since " + t.NotAfter.Format(timeLayout)
	}
	switch {
	case t.Request != "":
		fate += ", bound to request sha256:" + abbreviate(t.Request)
	case t.Key != "":
		fate += ", bound to key sha256:" + abbreviate(t.Key)
	}
	fmt.Fprintf(w, "%s  %-9s  %s  %s  made by %s  %s\n", t.ID, t.State, t.Party, t.Profile, t.By, fate)
}

func newTokenCancelCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "cancel ID...",
		Short: "End tokens that nobody used",
		Long: `End tokens that nobody used. What a token was used for stands: revoke that certificate.

  ID  id of a token, as payca token create and list say it; or the token itself,
      or - to read it from standard input`,
		Example: "  payca token cancel - <token.txt",
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usageErrorf("ID is missing")
			}
			client, err := a.operator()
			if err != nil {
				return err
			}
			for _, arg := range args {
				id, err := a.tokenID(arg)
				if err != nil {
					return err
				}
				token, err := client.CancelToken(cmd.Context(), id)
				if e, ok := errors.AsType[*exitError](explain(err)); ok {
					e.hint = strings.ReplaceAll(e.hint, "ask for a new one: payca token create PARTY", "revoke what it was used for: payca revoke SERIAL; payca token list shows it")
					return e
				}
				if err != nil {
					return err
				}
				if err := a.show(token, func(w io.Writer) { fmt.Fprintf(w, "Cancelled token %s of %s\n", token.ID, token.Party) }); err != nil {
					return err
				}
			}
			return nil
		},
	}
}

// tokenID is the id of a token that is named by its id or by itself.
func (a *app) tokenID(arg string) (string, error) {
	if arg == "-" {
		text, err := a.tokenText([]string{"-"})
		if err != nil {
			return "", err
		}
		arg = text
	}
	if !strings.Contains(arg, ".") {
		return arg, nil
	}
	token, err := enroll.ReadToken(arg)
	if err != nil {
		return "", fail(ExitUsage, err, "a token is what payca token create PARTY prints")
	}
	return token.ID, nil
}
