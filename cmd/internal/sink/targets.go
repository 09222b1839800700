package sink

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/payca/payca/ca/audit"
)

// A File appends JSON lines to a file, which is opened anew for each delivery and so
// may be moved away in between.
type File struct {
	Path string
}

// Deliver implements [Target].
func (t File) Deliver(_ context.Context, events []Event) error {
	text, err := lines(events)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(t.Path, os.O_RDWR|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	err = endLine(f)
	if err == nil {
		_, err = f.Write(text)
	}
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// endLine ends a line that a crash cut in two.
func endLine(f *os.File) error {
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil || size == 0 {
		return err
	}
	last := make([]byte, 1)
	if _, err := f.ReadAt(last, size-1); err != nil || last[0] == '\n' {
		return err
	}
	_, err = f.Write([]byte("\n"))
	return err
}

// A Webhook posts JSON lines, application/x-ndjson, and wants a status of 2xx. It
// follows no redirect.
type Webhook struct {
	URL string
}

// Deliver implements [Target].
func (t Webhook) Deliver(ctx context.Context, events []Event) error {
	text, err := lines(events)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, t.URL, bytes.NewReader(text))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/x-ndjson")
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10)) // so that the connection is used again
	if err := resp.Body.Close(); err != nil {
		return err
	}
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		return fmt.Errorf("%s answers %s, want 2xx", t.URL, resp.Status)
	}
	return nil
}

// auditInfo is the priority of every message: facility 13, log audit, and severity 6, informational.
const auditInfo = 13*8 + 6

// A Syslog sends RFC 5424 messages with the octet counting of RFC 6587, over TCP. Each
// delivery is a connection of its own, and done when the server closed its side too, which it does
// after it read the last message.
type Syslog struct {
	Address string // host:port
	Host    string // HOSTNAME of the messages
}

// Deliver implements [Target].
func (t Syslog) Deliver(ctx context.Context, events []Event) error {
	var text bytes.Buffer
	for _, event := range events {
		message, err := t.message(event)
		if err != nil {
			return err
		}
		fmt.Fprintf(&text, "%d %s", len(message), message)
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", t.Address)
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	_, err = conn.Write(text.Bytes())
	if err == nil {
		err = conn.(*net.TCPConn).CloseWrite()
	}
	if err == nil {
		_, err = io.Copy(io.Discard, io.LimitReader(conn, 64<<10))
	}
	return errors.Join(err, conn.Close())
}

// message is one event as RFC 5424 wants it; its MSGID is the kind.
func (t Syslog) message(event Event) ([]byte, error) {
	parsed, err := audit.ParseEvent(event.Event)
	if err != nil {
		return nil, err
	}
	line, err := lines([]Event{event})
	if err != nil {
		return nil, err
	}
	header := fmt.Sprintf("<%d>1 %s %s payca - %s - ", auditInfo, parsed.Time.UTC().Format("2006-01-02T15:04:05.000000Z"), name(t.Host, 255), name(string(parsed.Kind), 32))
	return append([]byte(header), bytes.TrimSuffix(line, []byte("\n"))...), nil
}

// name fits text into a field of a syslog header: printable ASCII without spaces, "-" for none.
func name(text string, limit int) string {
	text = strings.Map(func(r rune) rune {
		if r <= ' ' || r > '~' {
			return '_'
		}
		return r
	}, text)
	if text == "" {
		return "-"
	}
	return text[:min(len(text), limit)]
}
