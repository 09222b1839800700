package api

import (
	"context"
	"fmt"
	"iter"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/payca/payca/ca"
	"github.com/payca/payca/ca/audit"
	"github.com/payca/payca/enroll/problem"
	"github.com/payca/payca/policy"
)

// A Client calls the API of one CA. Refusals come back as *problem.Problem.
type Client struct {
	URL  string       // https://HOST:PORT
	HTTP *http.Client // with the caller's certificate
}

func (c *Client) call(ctx context.Context, method, path string, in, out any) error {
	return problem.Call(ctx, c.HTTP, method, c.URL+path, in, out)
}

// AddParty registers a party.
func (c *Client) AddParty(ctx context.Context, p policy.Party) (policy.Party, error) {
	var out policy.Party
	err := c.call(ctx, http.MethodPost, "/v1/parties", p, &out)
	return out, err
}

// Party finds a party by id.
func (c *Client) Party(ctx context.Context, id string) (policy.Party, error) {
	var out policy.Party
	err := c.call(ctx, http.MethodGet, "/v1/parties/"+url.PathEscape(id), nil, &out)
	return out, err
}

// Parties yields every party, page after page.
func (c *Client) Parties(ctx context.Context) iter.Seq2[policy.Party, error] {
	return pages[policy.Party](ctx, c, "/v1/parties", url.Values{})
}

// CreateToken makes a one-time enrollment token.
func (c *Client) CreateToken(ctx context.Context, req TokenRequest) (TokenReply, error) {
	var out TokenReply
	err := c.call(ctx, http.MethodPost, "/v1/tokens", req, &out)
	return out, err
}

// Tokens yields enrollment tokens, page after page; query takes the parameters of GET /v1/tokens.
func (c *Client) Tokens(ctx context.Context, query url.Values) iter.Seq2[TokenView, error] {
	return pages[TokenView](ctx, c, "/v1/tokens", query)
}

// CancelToken ends a token that nobody used.
func (c *Client) CancelToken(ctx context.Context, id string) (TokenView, error) {
	var out TokenView
	err := c.call(ctx, http.MethodPost, "/v1/tokens/"+url.PathEscape(id)+"/cancel", nil, &out)
	return out, err
}

// Certificates yields the inventory, page after page; query takes the
// parameters of GET /v1/certificates.
func (c *Client) Certificates(ctx context.Context, query url.Values) iter.Seq2[Certificate, error] {
	return pages[Certificate](ctx, c, "/v1/certificates", query)
}

// CertificatePage reads one page of the inventory; query as for [Client.Certificates], with "after" the Next of the page before.
func (c *Client) CertificatePage(ctx context.Context, query url.Values) (Page[Certificate], error) {
	var out Page[Certificate]
	err := c.call(ctx, http.MethodGet, "/v1/certificates?"+query.Encode(), nil, &out)
	return out, err
}

// Certificate finds one certificate by serial.
func (c *Client) Certificate(ctx context.Context, serial string) (Certificate, error) {
	var out Certificate
	err := c.call(ctx, http.MethodGet, "/v1/certificates/"+url.PathEscape(serial), nil, &out)
	return out, err
}

// Revoke revokes; see [RevocationRequest].
func (c *Client) Revoke(ctx context.Context, req RevocationRequest) (RevocationReply, error) {
	var out RevocationReply
	err := c.call(ctx, http.MethodPost, "/v1/revocations", req, &out)
	return out, err
}

// Release ends holds; see [Selection].
func (c *Client) Release(ctx context.Context, req Selection) (ReleaseReply, error) {
	var out ReleaseReply
	err := c.call(ctx, http.MethodPost, "/v1/releases", req, &out)
	return out, err
}

// Lists asks which CRLs are served.
func (c *Client) Lists(ctx context.Context) (ListsReply, error) {
	var out ListsReply
	err := c.call(ctx, http.MethodGet, "/v1/crls", nil, &out)
	return out, err
}

// SetState suspends, resumes or closes a party; or says what waits for approvers.
func (c *Client) SetState(ctx context.Context, party string, req StateRequest) (StateReply, error) {
	var out StateReply
	err := c.call(ctx, http.MethodPost, "/v1/parties/"+url.PathEscape(party)+"/state", req, &out)
	return out, err
}

// Requests yields requests for approval, page after page; query takes the parameters of GET /v1/requests.
func (c *Client) Requests(ctx context.Context, query url.Values) iter.Seq2[ca.RequestView, error] {
	return pages[ca.RequestView](ctx, c, "/v1/requests", query)
}

// Request finds a request for approval by id.
func (c *Client) Request(ctx context.Context, id string) (ca.RequestView, error) {
	var out ca.RequestView
	err := c.call(ctx, http.MethodGet, "/v1/requests/"+url.PathEscape(id), nil, &out)
	return out, err
}

// Vote delivers what an approver signed about a request.
func (c *Client) Vote(ctx context.Context, id, object string) (VoteReply, error) {
	var out VoteReply
	err := c.call(ctx, http.MethodPost, "/v1/requests/"+url.PathEscape(id)+"/votes", Ballot{Vote: object}, &out)
	return out, err
}

// Propose asks that something else be in force.
func (c *Client) Propose(ctx context.Context, p Proposal) (Waiting, error) {
	var out Waiting
	err := c.call(ctx, http.MethodPost, "/v1/requests", p, &out)
	return out, err
}

// BlockKey blocks a key; see [KeyRequest].
func (c *Client) BlockKey(ctx context.Context, req KeyRequest) (ca.BlockedKey, error) {
	var out ca.BlockedKey
	err := c.call(ctx, http.MethodPost, "/v1/keys", req, &out)
	return out, err
}

// UnblockKey takes a block back.
func (c *Client) UnblockKey(ctx context.Context, req KeyRequest) (KeyRequest, error) {
	var out KeyRequest
	err := c.call(ctx, http.MethodPost, "/v1/keys/unblock", req, &out)
	return out, err
}

// BlockedKeys yields the keys that operators have blocked, page after page.
func (c *Client) BlockedKeys(ctx context.Context) iter.Seq2[ca.BlockedKey, error] {
	return pages[ca.BlockedKey](ctx, c, "/v1/keys", url.Values{})
}

// Recheck has the inventory looked at now.
func (c *Client) Recheck(ctx context.Context) (RecheckHealth, error) {
	var out RecheckHealth
	err := c.call(ctx, http.MethodPost, "/v1/rechecks", nil, &out)
	return out, err
}

// Findings yields what the re-checks have against certificates, page after page.
func (c *Client) Findings(ctx context.Context) iter.Seq2[ca.Finding, error] {
	return pages[ca.Finding](ctx, c, "/v1/findings", url.Values{})
}

// Health asks how the CA is.
func (c *Client) Health(ctx context.Context) (Health, error) {
	var out Health
	err := c.call(ctx, http.MethodGet, "/v1/health", nil, &out)
	return out, err
}

// Crypto asks for the CA's own keys and suites.
func (c *Client) Crypto(ctx context.Context) (CryptoInventory, error) {
	var out CryptoInventory
	err := c.call(ctx, http.MethodGet, "/v1/crypto", nil, &out)
	return out, err
}

// LogKey asks for the verifier key of the audit log.
func (c *Client) LogKey(ctx context.Context) (string, error) {
	var out Head
	err := c.call(ctx, http.MethodGet, "/v1/audit/head", nil, &out)
	return out.Key, err
}

// Head implements audit.Reader.
func (c *Client) Head(ctx context.Context) ([]byte, error) {
	var out Head
	err := c.call(ctx, http.MethodGet, "/v1/audit/head", nil, &out)
	return []byte(out.Note), err
}

// Leaves implements audit.Reader.
func (c *Client) Leaves(ctx context.Context, from uint64, limit int) ([][]byte, error) {
	query := url.Values{"from": {strconv.FormatUint(from, 10)}, "limit": {strconv.Itoa(min(limit, 1000))}}
	var out Page[[]byte]
	err := c.call(ctx, http.MethodGet, "/v1/audit/leaves?"+query.Encode(), nil, &out)
	return out.Items, err
}

// Hashes implements audit.Reader.
func (c *Client) Hashes(ctx context.Context, indexes []int64) ([]tlog.Hash, error) {
	hashes := make([]tlog.Hash, 0, len(indexes))
	for len(indexes) > 0 {
		n := min(len(indexes), maxHashes)
		texts := make([]string, n)
		for i, index := range indexes[:n] {
			texts[i] = strconv.FormatInt(index, 10)
		}
		var out Page[[]byte]
		if err := c.call(ctx, http.MethodGet, "/v1/audit/hashes?index="+strings.Join(texts, ","), nil, &out); err != nil {
			return nil, err
		}
		if len(out.Items) != n {
			return nil, fmt.Errorf("reading stored hashes: got %d, want %d", len(out.Items), n)
		}
		for _, raw := range out.Items {
			if len(raw) != tlog.HashSize {
				return nil, fmt.Errorf("reading stored hashes: one of %d octets, want %d", len(raw), tlog.HashSize)
			}
			hashes = append(hashes, tlog.Hash(raw))
		}
		indexes = indexes[n:]
	}
	return hashes, nil
}

// Proof implements audit.Prover.
func (c *Client) Proof(ctx context.Context, index uint64) (audit.Proof, error) {
	var out audit.Proof
	err := c.call(ctx, http.MethodGet, "/v1/audit/proof/"+strconv.FormatUint(index, 10), nil, &out)
	return out, err
}

// Consistency implements audit.Prover.
func (c *Client) Consistency(ctx context.Context, old uint64) (audit.Consistency, error) {
	var out audit.Consistency
	err := c.call(ctx, http.MethodGet, "/v1/audit/consistency?old="+strconv.FormatUint(old, 10), nil, &out)
	return out, err
}

// pages follows the cursor of a list.
func pages[T any](ctx context.Context, c *Client, path string, query url.Values) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for {
			var page Page[T]
			if err := c.call(ctx, http.MethodGet, path+"?"+query.Encode(), nil, &page); err != nil {
				var zero T
				yield(zero, err)
				return
			}
			for _, item := range page.Items {
				if !yield(item, nil) {
					return
				}
			}
			if page.Next == "" {
				return
			}
			query.Set("after", page.Next)
		}
	}
}
