package notice

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/smtp"
	"net/textproto"
	"strconv"
	"strings"
	"time"

	"github.com/payca/payca/ca"
)

// A Mail sends messages by SMTP.
type Mail struct {
	Network        string // whose certificates they are about
	Server         string // host:port
	Security       string // starttls, tls or none; none only to where nobody listens
	User, Password string // "" for no authentication
	From           string // address
	To             []string
	TLS            *tls.Config // nil for the system's roots
}

// Repeats implements [Target]: a mail that was perhaps sent is not sent again.
func (t Mail) Repeats() bool { return false }

// Send implements [Target].
func (t Mail) Send(ctx context.Context, m ca.Message) error {
	host, _, err := net.SplitHostPort(t.Server)
	if err != nil {
		return &RefusedError{err}
	}
	conn, err := t.dial(ctx, host)
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	client, err := smtp.NewClient(conn, host)
	if err != nil {
		return errors.Join(err, conn.Close())
	}
	defer func() { _ = client.Close() }()
	return t.deliver(client, host, m)
}

func (t Mail) tls(host string) *tls.Config {
	conf := &tls.Config{MinVersion: tls.VersionTLS12}
	if t.TLS != nil {
		conf = t.TLS.Clone()
	}
	conf.ServerName = host
	return conf
}

func (t Mail) dial(ctx context.Context, host string) (net.Conn, error) {
	if t.Security == "tls" {
		return (&tls.Dialer{Config: t.tls(host)}).DialContext(ctx, "tcp", t.Server)
	}
	return new(net.Dialer).DialContext(ctx, "tcp", t.Server)
}

// deliver speaks SMTP. Up to the end of the data the server has taken nothing.
func (t Mail) deliver(client *smtp.Client, host string, m ca.Message) error {
	if t.Security == "starttls" {
		if ok, _ := client.Extension("STARTTLS"); !ok {
			return &RefusedError{fmt.Errorf("%s offers no STARTTLS, want it or security none", t.Server)}
		}
		if err := client.StartTLS(t.tls(host)); err != nil {
			return err
		}
	}
	if t.User != "" {
		if err := client.Auth(smtp.PlainAuth("", t.User, t.Password, host)); err != nil {
			return permanent(err)
		}
	}
	if err := client.Mail(t.From); err != nil {
		return permanent(err)
	}
	for _, to := range t.To {
		if err := client.Rcpt(to); err != nil {
			return permanent(err)
		}
	}
	body, err := client.Data()
	if err != nil {
		return permanent(err)
	}
	if _, err := body.Write(t.text(m)); err != nil {
		return err
	}
	if err := body.Close(); err != nil { // the server answers to the end of the data
		if answer := (*textproto.Error)(nil); errors.As(err, &answer) {
			return permanent(err)
		}
		return &DoubtError{err}
	}
	_ = client.Quit() // it has the message
	return nil
}

// permanent tells answers that will not change (RFC 5321 section 4.2.1) from those that may.
func permanent(err error) error {
	if answer := (*textproto.Error)(nil); errors.As(err, &answer) && answer.Code >= 500 {
		return &RefusedError{err}
	}
	return err
}

// text is the message as RFC 5322 wants it. Its Message-ID is that of the outbox.
func (t Mail) text(m ca.Message) []byte {
	var b bytes.Buffer
	subject := fmt.Sprintf("%s: %d certificates: %s", t.Network, len(m.Items), m.Topic)
	if len(m.Items) == 1 {
		subject = fmt.Sprintf("%s: the certificate of %s %s", t.Network, m.Items[0].Party, m.Topic)
	}
	for _, header := range [][2]string{
		{"From", t.From},
		{"To", strings.Join(t.To, ", ")},
		{"Subject", mime.QEncoding.Encode("utf-8", subject)},
		{"Date", m.Created.UTC().Format(time.RFC1123Z)},
		{"Message-ID", "<" + key(m) + "@" + t.Network + ">"},
		{"Auto-Submitted", "auto-generated"},
		{"MIME-Version", "1.0"},
		{"Content-Type", "text/plain; charset=utf-8"},
	} {
		b.WriteString(header[0] + ": " + header[1] + "\r\n")
	}
	b.WriteString("\r\nThese certificates of " + t.Network + " end and have no successor yet:\r\n\r\n")
	for _, item := range byEnd(m.Items) {
		fmt.Fprintf(&b, "%s  %s (%s, profile %s)  serial %s\r\n", item.NotAfter.UTC().Format("2006-01-02 15:04"), item.Party, item.Role, item.Profile, item.Serial)
	}
	b.WriteString("\r\nRenew them with payca renew; payca report expiring lists what ends soon.\r\n")
	return b.Bytes()
}

// key names a message for receivers: the same whenever it is sent.
func key(m ca.Message) string {
	return "notice-" + strconv.FormatUint(m.ID, 10) + "-" + strconv.FormatInt(m.Created.Unix(), 10)
}

// A Webhook posts messages as JSON with an Idempotency-Key, signed by HMAC-SHA256 in Payca-Signature (sha256=HEX, over
// the body) if there is a secret. It follows no redirect.
type Webhook struct {
	Network string
	URL     string
	Secret  []byte
}

// Repeats implements [Target]: the receiver knows a message again by its key.
func (t Webhook) Repeats() bool { return true }

// A posted is the body of a webhook.
type posted struct {
	Network string           `json:"network"`
	Key     string           `json:"key"`
	Topic   string           `json:"topic"`
	Time    time.Time        `json:"time"`
	Items   []ca.MessageItem `json:"items"`
}

// Send implements [Target].
func (t Webhook) Send(ctx context.Context, m ca.Message) error {
	body, err := json.Marshal(posted{t.Network, key(m), m.Topic, m.Created.UTC(), byEnd(m.Items)})
	if err != nil {
		return &RefusedError{err}
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, t.URL, bytes.NewReader(body))
	if err != nil {
		return &RefusedError{err}
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Idempotency-Key", key(m))
	if len(t.Secret) > 0 {
		mac := hmac.New(sha256.New, t.Secret)
		mac.Write(body)
		req.Header.Set("Payca-Signature", "sha256="+hex.EncodeToString(mac.Sum(nil)))
	}
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := client.Do(req)
	if err != nil {
		return &DoubtError{err}
	}
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10))
	_ = resp.Body.Close()
	switch {
	case resp.StatusCode >= 200 && resp.StatusCode <= 299:
		return nil
	case resp.StatusCode == http.StatusGone || resp.StatusCode >= 400 && resp.StatusCode <= 499 && resp.StatusCode != http.StatusRequestTimeout && resp.StatusCode != http.StatusTooManyRequests:
		return &RefusedError{fmt.Errorf("%s answers %s, want 2xx", t.URL, resp.Status)}
	}
	return fmt.Errorf("%s answers %s, want 2xx", t.URL, resp.Status)
}
