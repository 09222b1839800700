package ocsp

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// A reply is an HTTP answer: status 200, an OCSP response as body. It is immutable.
type reply struct {
	body   []byte
	header http.Header
	etag   string // quoted; "" if it may not be revalidated

	// Only of replies that may be kept:
	keep    bool
	signer  *Signer
	from    time.Time // thisUpdate
	renewAt time.Time // half of the validity that was left at signing
}

// serves says whether a kept reply may still be given.
func (rep *reply) serves(now time.Time, signer *Signer) bool {
	return rep.signer == signer && !now.Before(rep.from) && now.Before(rep.renewAt)
}

func newReply(body []byte, cacheControl string) *reply {
	return &reply{body: body, header: http.Header{
		"Content-Type":   {"application/ocsp-response"},
		"Content-Length": {strconv.Itoa(len(body))},
		"Cache-Control":  {cacheControl},
	}}
}

// errorReply is an unsigned answer; nothing may keep it.
func errorReply(status ResponseStatus) *reply {
	rep := newReply([]byte{0x30, 0x03, 0x0a, 0x01, byte(status)}, "no-store")
	if status == TryLater {
		rep.header["Retry-After"] = []string{"1"}
	}
	return rep
}

// liveReply is a signed answer for this request only.
func liveReply(body []byte) *reply {
	return newReply(body, "max-age=0, no-transform, must-revalidate")
}

// keptReply is a signed answer that serves whoever asks (RFC 5019 section 6.2).
func keptReply(body []byte, signer *Signer, now time.Time, single SingleResponse, maxAge time.Duration) *reply {
	half := single.NextUpdate.Sub(now) / 2
	seconds := strconv.Itoa(int(min(half, maxAge) / time.Second))
	rep := newReply(body, "max-age="+seconds+", public, no-transform, must-revalidate")
	sum := sha256.Sum256(body)
	rep.etag = `"` + hex.EncodeToString(sum[:]) + `"`
	rep.header["Etag"] = []string{rep.etag}
	rep.header["Last-Modified"] = []string{single.ThisUpdate.UTC().Format(http.TimeFormat)}
	rep.header["Expires"] = []string{single.NextUpdate.UTC().Format(http.TimeFormat)}
	rep.keep, rep.signer, rep.from, rep.renewAt = true, signer, single.ThisUpdate, now.Add(half)
	return rep
}

// ServeHTTP answers POST /ocsp/ISSUER and GET /ocsp/ISSUER/REQUEST, with the request in
// base64 and percent-encoded or not. Without ISSUER the first certificate asked
// about chooses it. Base64 holds slashes: the handler must stand before anything that
// cleans paths, such as http.ServeMux.
func (r *Responder) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	is, encoded, ok := r.route(req.URL.EscapedPath())
	get := req.Method == http.MethodGet || req.Method == http.MethodHead
	switch {
	case !ok:
		refuse(w, http.StatusNotFound, "not found: want /ocsp/ISSUER")
		return
	case !get && req.Method != http.MethodPost:
		w.Header().Set("Allow", "GET, HEAD, POST")
		refuse(w, http.StatusMethodNotAllowed, "want GET or POST")
		return
	case !get && encoded != "":
		refuse(w, http.StatusNotFound, "not found: want POST /ocsp/ISSUER")
		return
	}
	var body []byte
	var err error
	if get {
		body, err = decodePath(encoded)
	} else {
		body, err = readBody(req.Body)
	}
	switch {
	case errors.Is(err, errTooLarge):
		refuse(w, http.StatusRequestEntityTooLarge, err.Error())
	case err != nil:
		refuse(w, http.StatusBadRequest, err.Error())
	default:
		r.answer(req.Context(), is, body).write(w, req, get)
	}
}

func (rep *reply) write(w http.ResponseWriter, req *http.Request, get bool) {
	maps.Copy(w.Header(), rep.header)
	if match := req.Header.Get("If-None-Match"); get && match != "" && rep.etag != "" {
		if strings.Contains(match, rep.etag) || match == "*" {
			delete(w.Header(), "Content-Length")
			w.WriteHeader(http.StatusNotModified)
			return
		}
	}
	if req.Method != http.MethodHead {
		_, _ = w.Write(rep.body) // the client is gone if this does not work
	}
}

// route splits an escaped path into the issuer it names, nil for none, and the
// encoded request. Base64 of a request begins with an upper-case M, which no issuer's
// name does.
func (r *Responder) route(path string) (is *responderIssuer, encoded string, ok bool) {
	path = strings.TrimLeft(path, "/")
	if path == "ocsp" {
		return nil, "", true
	}
	rest, ok := strings.CutPrefix(path, "ocsp/")
	if !ok {
		return nil, "", false
	}
	rest = strings.TrimLeft(rest, "/")
	first, tail, _ := strings.Cut(rest, "/")
	if is := r.named(first); is != nil {
		return is, strings.TrimLeft(tail, "/"), true
	}
	return nil, rest, rest == "" || rest[0] == 'M'
}

var (
	errTooLarge = errors.New("request too large: want at most 8 KiB")
	errNotOCSP  = errors.New("not an OCSP request: want its DER, in base64 for GET")
)

// decodePath decodes the request of a GET.
func decodePath(encoded string) ([]byte, error) {
	if len(encoded) > 4*maxRequest {
		return nil, errTooLarge
	}
	text, err := url.PathUnescape(encoded)
	if err != nil {
		return nil, errNotOCSP
	}
	der, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(text, "="))
	if err != nil {
		return nil, errNotOCSP
	}
	return checkBody(der)
}

func readBody(body io.Reader) ([]byte, error) {
	der, err := io.ReadAll(io.LimitReader(body, maxRequest+1))
	if err != nil {
		return nil, errNotOCSP
	}
	return checkBody(der)
}

// checkBody tells what may be an OCSP request from what is none.
func checkBody(der []byte) ([]byte, error) {
	switch {
	case len(der) > maxRequest:
		return nil, errTooLarge
	case len(der) == 0 || der[0] != 0x30:
		return nil, errNotOCSP
	}
	return der, nil
}

func refuse(w http.ResponseWriter, status int, message string) {
	w.Header().Set("Cache-Control", "no-store")
	http.Error(w, message, status)
}
