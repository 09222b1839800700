package status

import (
	"bytes"
	"crypto/sha256"
	"net/http"
	"strconv"
	"time"
)

// maxCached is how long HTTP caches may keep a list or a certificate: a revocation can stay hidden behind one for so long.
const maxCached = 5 * time.Minute

// A file is something small served as it is, with its validators.
type file struct {
	contentType string
	body        []byte
	etag        string
	modified    time.Time
	until       time.Time // zero for something that holds without an end
}

func newFile(contentType string, body []byte, modified, until time.Time) file {
	sum := sha256.Sum256(body)
	return file{contentType: contentType, body: body, etag: quoteETag(sum[:]), modified: modified, until: until}
}

// serve answers GET and HEAD with caching headers; conditional requests get 304.
func (f file) serve(w http.ResponseWriter, r *http.Request, now time.Time) {
	setCaching(w.Header(), f.contentType, f.etag, now, f.until)
	http.ServeContent(w, r, "", f.modified, bytes.NewReader(f.body))
}

// setCaching says for how long an answer may be kept: never past its end, and not long.
func setCaching(header http.Header, contentType, etag string, now, until time.Time) {
	age := maxCached
	if !until.IsZero() {
		age = max(0, min(age, until.Sub(now)/2))
	}
	header.Set("Content-Type", contentType)
	header.Set("ETag", etag)
	header.Set("Expires", now.Add(age).UTC().Format(http.TimeFormat))
	header.Set("Cache-Control", "public, no-transform, must-revalidate, max-age="+strconv.Itoa(int(age.Seconds())))
}
