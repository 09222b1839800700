package agent

import (
	"encoding/json"
	"net/http"
	"strconv"
)

func writeJSON(w http.ResponseWriter, v any) error {
	raw, err := json.Marshal(v)
	if err == nil {
		writeRaw(w, raw)
	}
	return err
}

func writeRaw(w http.ResponseWriter, raw []byte) {
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Length", strconv.Itoa(len(raw)))
	_, _ = w.Write(raw) // a caller who has gone asks again
}
