package api

import (
	"encoding/hex"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/payca/payca/ca"
	"github.com/payca/payca/enroll/problem"
	"github.com/payca/payca/policy"
)

// listCertificates: GET /v1/certificates?party=&role=&issuer=&profile=&kind=&status=&san=&key=&expires_from=&expires_before=&after=&limit=
// A party that is neither operator nor auditor sees its own. A range of expiry that is not of one party, name or key
// comes in the order of expiry, everything else in that of the log.
func (a *api) listCertificates(w http.ResponseWriter, r *http.Request) error {
	peer, err := caller(r)
	if err != nil {
		return err
	}
	limit, err := pageLimit(r)
	if err != nil {
		return err
	}
	filter, err := filterOf(r.URL.Query(), a.cfg.Now())
	if err != nil {
		return err
	}
	if !mayReadAll(peer) {
		if filter.Party != "" && filter.Party != peer.Identity.Party {
			return ca.ErrNotFound
		}
		filter.Party = peer.Identity.Party
	}
	filter.ByExpiry = byExpiry(filter)
	if err := setCursor(&filter, r.URL.Query().Get("after")); err != nil {
		return err
	}
	filter.Limit = limit + 1 // one more tells whether there is a next page
	page := Page[Certificate]{Items: []Certificate{}}
	for record, err := range a.cfg.Store.Certificates(r.Context(), filter) {
		if err != nil {
			return err
		}
		if len(page.Items) == limit {
			page.Next = cursorOf(filter, page.Items[limit-1].Record)
			break
		}
		page.Items = append(page.Items, certificateOf(record, a.cfg.Now()))
	}
	return problem.WriteJSON(w, http.StatusOK, page)
}

// filterOf reads the parameters of a list, but the cursor and the limit.
func filterOf(query url.Values, now time.Time) (filter ca.Filter, err error) {
	filter = ca.Filter{
		Party: query.Get("party"), Issuer: query.Get("issuer"), Profile: query.Get("profile"), Kind: query.Get("kind"),
		Role: policy.Role(query.Get("role")), SAN: ca.CanonicalName(query.Get("san")),
	}
	if filter.Role != "" {
		if _, err := policy.ParseRole(query.Get("role")); err != nil {
			return ca.Filter{}, err
		}
	}
	if filter.Kind != "" && !slices.Contains(ca.Kinds(), filter.Kind) {
		return ca.Filter{}, badParameter("kind", filter.Kind, strings.Join(ca.Kinds(), ", "))
	}
	if text := query.Get("key"); text != "" {
		sum, err := hex.DecodeString(text)
		if err != nil || len(sum) != 32 {
			return ca.Filter{}, badParameter("key", text, "the SHA-256 of a SubjectPublicKeyInfo, 64 hexadecimal digits")
		}
		filter.SPKI = (*[32]byte)(sum)
	}
	if filter.ExpiresFrom, err = timeOf(query, "expires_from"); err != nil {
		return ca.Filter{}, err
	}
	if filter.ExpiresBefore, err = timeOf(query, "expires_before"); err != nil {
		return ca.Filter{}, err
	}
	return filter, setStatus(&filter, query.Get("status"), now)
}

func timeOf(query url.Values, name string) (time.Time, error) {
	text := query.Get(name)
	if text == "" {
		return time.Time{}, nil
	}
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return time.Time{}, badParameter(name, text, "a time such as 2030-03-04T05:06:07Z")
	}
	return t, nil
}

func setStatus(filter *ca.Filter, status string, now time.Time) error {
	yes, no := true, false
	switch status {
	case "":
	case "valid":
		filter.Revoked, filter.ValidAt = &no, now
	case "revoked":
		filter.Revoked = &yes
	case "expired":
		filter.Revoked = &no
		if filter.ExpiresBefore.IsZero() || now.Before(filter.ExpiresBefore) {
			filter.ExpiresBefore = now
		}
	default:
		return badParameter("status", status, "valid, revoked or expired")
	}
	return nil
}

// byExpiry says whether the order of expiry finds the filter's records at once.
func byExpiry(f ca.Filter) bool {
	ranged := !f.ExpiresFrom.IsZero() || !f.ExpiresBefore.IsZero() || !f.ValidAt.IsZero()
	return ranged && f.Party == "" && f.SAN == "" && f.SPKI == nil && (f.Revoked == nil || !*f.Revoked)
}

// cursorOf is the cursor after the record: its index, in the order of expiry the end of its validity before it.
func cursorOf(f ca.Filter, last ca.Record) string {
	if f.ByExpiry {
		return fmt.Sprintf("%d.%d", last.NotAfter.Unix(), last.Index)
	}
	return strconv.FormatUint(last.Index, 10)
}

func setCursor(f *ca.Filter, text string) (err error) {
	if text == "" {
		return nil
	}
	seconds, index, timed := strings.Cut(text, ".")
	if timed {
		var unix int64
		if unix, err = strconv.ParseInt(seconds, 10, 64); err == nil {
			f.AfterExpiry = time.Unix(unix, 0).UTC()
		}
	} else {
		index = text
	}
	if err == nil {
		f.After, err = strconv.ParseUint(index, 10, 64)
	}
	if err != nil || timed != f.ByExpiry {
		return badParameter("after", text, "the cursor of a page of the same list")
	}
	f.From = true
	return nil
}
