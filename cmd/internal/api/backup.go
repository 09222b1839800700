package api

import (
	"context"
	"io"
	"net/http"
	"time"

	"github.com/payca/payca/ca/audit"
	"github.com/payca/payca/enroll/problem"
)

// A Backup is a copy of the CA, taken at one moment and ready to be sent.
type Backup interface {
	// Send writes the archive; package backup has its form.
	Send(w io.Writer) error
	io.Closer
}

// ArchiveType is the media type of a backup that is not sealed.
const ArchiveType = "application/vnd.payca.backup+tar"

// patience is how long the reader of a backup may take for one piece of it.
const patience = time.Minute

// backup: GET /v1/backup, an archive as package backup reads it. The root's key is never in it.
func (a *api) backup(w http.ResponseWriter, r *http.Request) error {
	copied, err := a.cfg.Backup(r.Context(), a.event(r, audit.BackupMade))
	if err != nil {
		return err
	}
	defer func() { _ = copied.Close() }()
	w.Header().Set("Content-Type", ArchiveType)
	w.Header().Set("Cache-Control", "no-store")
	if err := copied.Send(patient{w, http.NewResponseController(w)}); err != nil {
		panic(http.ErrAbortHandler) // the caller must not take the beginning for the whole
	}
	return nil
}

// patient gives each piece that is written its own time.
type patient struct {
	http.ResponseWriter
	controller *http.ResponseController
}

// Write implements io.Writer.
func (p patient) Write(b []byte) (int, error) {
	if err := p.controller.SetWriteDeadline(time.Now().Add(patience)); err != nil {
		return 0, err
	}
	return p.ResponseWriter.Write(b)
}

// Backup asks for a backup; the caller reads the archive to its end and closes it.
func (c *Client) Backup(ctx context.Context) (io.ReadCloser, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.URL+"/v1/backup", nil)
	if err != nil {
		return nil, err
	}
	patient := &http.Client{Transport: c.HTTP.Transport} // it may take longer than any other call
	resp, err := patient.Do(req)
	if err != nil {
		return nil, err
	}
	if err := problem.Read(resp); err != nil {
		_ = resp.Body.Close()
		return nil, err
	}
	return resp.Body, nil
}
