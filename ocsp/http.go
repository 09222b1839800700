package ocsp

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// ServeHTTP answers GET /ocsp/NAME/BASE64, POST /ocsp/NAME, and both without
// NAME. It works on the escaped path, so it must be reached before any mux
// cleans it: base64 has slashes and pluses, and clients escape them or not.
// Every OCSP answer, errors too, is sent with status 200.
func (r *Responder) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	path := strings.TrimPrefix(req.URL.EscapedPath(), "/ocsp")
	path = strings.TrimPrefix(path, "/")
	name, rest, _ := strings.Cut(path, "/")
	issuer := r.named(name)
	if issuer < 0 {
		rest = path
	}
	var der []byte
	var err error
	switch req.Method {
	case http.MethodGet, http.MethodHead:
		der, err = decodePath(rest)
	case http.MethodPost:
		if rest != "" {
			http.NotFound(w, req)
			return
		}
		der, err = io.ReadAll(http.MaxBytesReader(w, req.Body, MaxRequest))
	default:
		w.Header().Set("Allow", "GET, HEAD, POST")
		http.Error(w, "method "+req.Method+", want GET or POST", http.StatusMethodNotAllowed)
		return
	}
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		http.Error(w, "ocsp request over 8 KiB", http.StatusRequestEntityTooLarge)
		return
	case err != nil || len(der) == 0 || der[0] != 0x30:
		http.Error(w, "not an ocsp request, want one in DER as the body of POST or in base64 at the end of the path of GET", http.StatusBadRequest)
		return
	}
	parsed, err := ParseRequest(der)
	if err != nil {
		writeError(w, MalformedRequest)
		return
	}
	a, status := r.respond(req.Context(), issuer, parsed)
	if status != Successful {
		writeError(w, status)
		return
	}
	r.write(w, req, a)
}

// decodePath reads the request at the end of a GET path: base64 in either
// alphabet, escaped or not, padded or not, behind one slash too many or not.
func decodePath(path string) ([]byte, error) {
	text, err := url.PathUnescape(path)
	if err != nil {
		return nil, err
	}
	text = strings.TrimPrefix(text, "/")
	text = strings.NewReplacer(" ", "+", "-", "+", "_", "/").Replace(strings.TrimRight(text, "="))
	return base64.RawStdEncoding.DecodeString(text)
}

func writeError(w http.ResponseWriter, status ResponseStatus) {
	body := errorResponse(status)
	header := w.Header()
	header.Set("Content-Type", "application/ocsp-response")
	header.Set("Cache-Control", "no-store")
	if status == TryLater {
		header.Set("Retry-After", "1")
	}
	header.Set("Content-Length", strconv.Itoa(len(body)))
	_, _ = w.Write(body)
}

// write sends an answer with the headers of RFC 5019 section 6. max-age is
// half of what is left, and bounded, so that a cache does not hide a
// revocation for long.
func (r *Responder) write(w http.ResponseWriter, req *http.Request, a answer) {
	sum := sha256.Sum256(a.der)
	etag := `"` + hex.EncodeToString(sum[:]) + `"`
	now := r.cfg.Now()
	maxAge := min(a.nextUpdate.Sub(now)/2, r.cfg.MaxAge)
	if !a.cacheable || maxAge < 0 {
		maxAge = 0
	}
	header := w.Header()
	header.Set("Content-Type", "application/ocsp-response")
	header.Set("ETag", etag)
	header.Set("Last-Modified", a.thisUpdate.UTC().Format(http.TimeFormat))
	header.Set("Expires", a.nextUpdate.UTC().Format(http.TimeFormat))
	header.Set("Cache-Control", "max-age="+strconv.Itoa(int(maxAge/time.Second))+", public, no-transform, must-revalidate")
	if req.Method != http.MethodPost && req.Header.Get("If-None-Match") == etag {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	header.Set("Content-Length", strconv.Itoa(len(a.der)))
	_, _ = w.Write(a.der)
}
