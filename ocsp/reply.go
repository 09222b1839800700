package ocsp

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// A reply is an HTTP answer: status 200, an OCSP response as body. It is immutable, but for the one of an input, which is that
// of one request after another.
type reply struct {
	body   []byte
	fields []field // beside Content-Length
	etag   string  // quoted; "" if it may not be revalidated

	// Only of replies that may be kept:
	keep      bool
	signer    *Signer
	id        CertID    // what it is about
	from      time.Time // thisUpdate
	refreshAt time.Time // when it is renewed ahead, if it was asked for: a little before renewAt, not all at a time
	renewAt   time.Time // half of the validity that was left at signing: it serves no longer
	asked     atomic.Bool
}

// A field is one of an HTTP header: its canonical name, and the value alone in a slice.
type field struct {
	name  string
	value []string
}

func newField(name, value string) field { return field{name, []string{value}} }

var (
	contentType = newField("Content-Type", "application/ocsp-response")
	errorFields = []field{contentType, newField("Cache-Control", "no-store")}
	laterFields = append(slices.Clip(errorFields), newField("Retry-After", "1"))
	liveFields  = []field{contentType, newField("Cache-Control", "max-age=0, no-transform, must-revalidate")}
)

// serves says whether a kept reply may still be given.
func (rep *reply) serves(now time.Time, signer *Signer) bool {
	return rep.signer == signer && !now.Before(rep.from) && now.Before(rep.renewAt)
}

func newReply(body []byte, fields ...field) *reply {
	return &reply{body: body, fields: fields}
}

// errorReply is an unsigned answer; nothing may keep it.
func errorReply(status ResponseStatus) *reply {
	body := []byte{0x30, 0x03, 0x0a, 0x01, byte(status)}
	if status == TryLater {
		return newReply(body, laterFields...)
	}
	return newReply(body, errorFields...)
}

// liveReply is a signed answer that nobody may keep.
func liveReply(body []byte) *reply { return newReply(body, liveFields...) }

// keptReply is a signed answer that serves whoever asks (RFC 5019 section 6.2).
func keptReply(body []byte, signer *Signer, produced, now time.Time, single *SingleResponse, maxAge time.Duration) *reply {
	half := single.NextUpdate.Sub(produced) / 2
	age := max(0, min(produced.Add(half).Sub(now), maxAge))
	sum := sha256.Sum256(body)
	etag := `"` + hex.EncodeToString(sum[:]) + `"`
	rep := newReply(body, contentType,
		newField("Cache-Control", "max-age="+strconv.Itoa(int(age/time.Second))+", public, no-transform, must-revalidate"),
		newField("Etag", etag),
		newField("Last-Modified", single.ThisUpdate.UTC().Format(http.TimeFormat)),
		newField("Expires", single.NextUpdate.UTC().Format(http.TimeFormat)),
	)
	rep.etag = etag
	rep.keep, rep.signer, rep.id, rep.from, rep.renewAt = true, signer, single.CertID, single.ThisUpdate, produced.Add(half)
	rep.id.Raw, rep.id.Serial = bytes.Clone(rep.id.Raw), bytes.Clone(rep.id.Serial)
	rep.id.IssuerNameHash, rep.id.IssuerKeyHash = bytes.Clone(rep.id.IssuerNameHash), bytes.Clone(rep.id.IssuerKeyHash)
	rep.refreshAt = rep.renewAt.Add(-half/10 - rand.N(half/5+1)) //nolint:gosec // it only spreads the work
	return rep
}

// ServeHTTP answers POST /ocsp/ISSUER and GET /ocsp/ISSUER/REQUEST, with the request in
// base64 and percent-encoded or not. Without ISSUER the first certificate asked
// about chooses it. Base64 holds slashes: the handler must stand before anything that
// cleans paths, such as http.ServeMux.
func (r *Responder) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	is, encoded, ok := r.route(req.URL.Path) // base64 is the same however it was escaped
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
	in := inputs.Get().(*input)
	defer inputs.Put(in)
	var err error
	if get {
		err = in.decodePath(encoded)
	} else {
		err = in.readBody(req.Body)
	}
	switch {
	case errors.Is(err, errTooLarge):
		refuse(w, http.StatusRequestEntityTooLarge, err.Error())
	case err != nil:
		refuse(w, http.StatusBadRequest, err.Error())
	default:
		r.answer(req.Context(), is, in).write(w, req, get)
	}
}

// An input is a request as it came and as it was read; its room is used again.
type input struct {
	text []byte // base64, of a GET
	der  []byte
	req  Request

	room []byte // of a body that nobody keeps
	live reply  // with that body
}

var inputs = sync.Pool{New: func() any { return &input{der: make([]byte, 0, 512)} }}

func (rep *reply) write(w http.ResponseWriter, req *http.Request, get bool) {
	header := w.Header()
	for _, f := range rep.fields {
		header[f.name] = f.value
	}
	if match := req.Header.Get("If-None-Match"); get && match != "" && rep.etag != "" {
		if strings.Contains(match, rep.etag) || match == "*" {
			w.WriteHeader(http.StatusNotModified)
			return
		}
	}
	head := req.Method == http.MethodHead
	if head || len(rep.body) > counted {
		header["Content-Length"] = []string{strconv.Itoa(len(rep.body))}
	}
	if !head {
		_, _ = w.Write(rep.body) // the client is gone if this does not work
	}
}

// counted is how long a body may be that net/http counts itself, which costs less: "under a few KB", says http.ResponseWriter.
const counted = 2000

// route splits a path into the issuer it names, nil for none, and the
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
func (in *input) decodePath(encoded string) error {
	if len(encoded) > 4*maxRequest {
		return errTooLarge
	}
	in.text = append(in.text[:0], strings.TrimRight(encoded, "=")...)
	var err error
	if in.der, err = base64.RawStdEncoding.AppendDecode(in.der[:0], in.text); err != nil {
		return errNotOCSP
	}
	return in.check()
}

// readBody reads the request of a POST.
func (in *input) readBody(body io.Reader) error {
	in.der = in.der[:0]
	for {
		if len(in.der) == cap(in.der) {
			in.der = slices.Grow(in.der, cap(in.der))
		}
		n, err := body.Read(in.der[len(in.der):cap(in.der)])
		in.der = in.der[:len(in.der)+n]
		switch {
		case len(in.der) > maxRequest:
			return errTooLarge
		case errors.Is(err, io.EOF):
			return in.check()
		case err != nil:
			return errNotOCSP
		}
	}
}

// check tells what may be an OCSP request from what is none.
func (in *input) check() error {
	switch {
	case len(in.der) > maxRequest:
		return errTooLarge
	case len(in.der) == 0 || in.der[0] != tagSequence:
		return errNotOCSP
	}
	return nil
}

func refuse(w http.ResponseWriter, status int, message string) {
	w.Header().Set("Cache-Control", "no-store")
	http.Error(w, message, status)
}
