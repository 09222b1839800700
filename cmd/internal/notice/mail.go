package notice

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"mime"
	"net"
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

// deliver speaks SMTP. Up to the end of the data the server has taken nothing. What is refused before the data, the
// password or the sender, is for the operator to mend, and is tried again.
func (t Mail) deliver(client *smtp.Client, host string, m ca.Message) error {
	if err := client.Hello(t.Network); err != nil {
		return err
	}
	if t.Security == "starttls" {
		if ok, _ := client.Extension("STARTTLS"); !ok {
			return fmt.Errorf("%s offers no STARTTLS, want it, or security tls or none", t.Server)
		}
		if err := client.StartTLS(t.tls(host)); err != nil {
			return fmt.Errorf("STARTTLS: %w", err)
		}
	}
	if t.User != "" {
		if err := client.Auth(smtp.PlainAuth("", t.User, t.Password, host)); err != nil {
			return fmt.Errorf("AUTH as %s: %w", t.User, err)
		}
	}
	if err := client.Mail(t.From); err != nil {
		return fmt.Errorf("MAIL FROM %s: %w", t.From, err)
	}
	refused, err := t.receivers(client, m)
	if err != nil {
		return err
	}
	if err := write(client, t.text(m)); err != nil {
		return err
	}
	_ = client.Quit() // it has the message
	if refused != nil {
		return &PartError{refused}
	}
	return nil
}

// patience is how many times a message waits for a receiver who is put off (RFC 5321 section 4.2.1): half an hour.
const patience = 5

// receivers names those who get the message. A receiver who is refused holds up no other; one who is put off
// does for a while. If nobody is left, or for that while, err says why.
func (t Mail) receivers(client *smtp.Client, m ca.Message) (refused, err error) {
	taken := 0
	var errs []error
	for _, to := range t.To {
		err := client.Rcpt(to)
		answer, answered := errors.AsType[*textproto.Error](err)
		switch {
		case err == nil:
			taken++
			continue
		case !answered: // the connection is gone
			return nil, err
		case answer.Code < 500 && m.Attempts <= patience:
			return nil, fmt.Errorf("RCPT TO %s: %w", to, err)
		}
		errs = append(errs, fmt.Errorf("RCPT TO %s: %w", to, err))
	}
	if taken == 0 {
		return nil, errors.Join(errs...)
	}
	return errors.Join(errs...), nil
}

// write sends the data and waits for the answer to their end.
func write(client *smtp.Client, text []byte) error {
	body, err := client.Data()
	if err != nil {
		return err
	}
	if _, err := body.Write(text); err != nil {
		return err
	}
	err = body.Close()
	answer, answered := errors.AsType[*textproto.Error](err)
	switch {
	case err == nil:
		return nil
	case !answered:
		return &DoubtError{err}
	case answer.Code >= 500:
		return &RefusedError{err}
	}
	return err
}

// text is the message as RFC 5322 wants it. Its Message-ID is that of the outbox.
func (t Mail) text(m ca.Message) []byte {
	var b bytes.Buffer
	subject := fmt.Sprintf("%s: %d certificates: %s", t.Network, len(m.Items), m.Topic)
	asks := len(m.Items) == 1 && m.Items[0].Request != ""
	switch {
	case asks:
		subject = fmt.Sprintf("%s: request %.16s waits for approval", t.Network, m.Items[0].Request)
	case len(m.Items) == 1:
		subject = fmt.Sprintf("%s: the certificate of %s %s", t.Network, m.Items[0].Party, m.Topic)
	}
	for _, header := range [][2]string{
		{"From", t.From},
		{"To", strings.Join(t.To, ",\r\n ")},
		{"Subject", mime.QEncoding.Encode("utf-8", subject)},
		{"Date", m.Created.UTC().Format(time.RFC1123Z)},
		{"Message-ID", "<" + key(m) + "@" + t.Network + ">"},
		{"Auto-Submitted", "auto-generated"},
		{"MIME-Version", "1.0"},
		{"Content-Type", "text/plain; charset=utf-8"},
	} {
		b.WriteString(header[0] + ": " + header[1] + "\r\n")
	}
	if asks {
		item := m.Items[0]
		fmt.Fprintf(&b, "\r\nIn %s this waits for approvers until %s:\r\n\r\n", t.Network, item.NotAfter.UTC().Format("2006-01-02 15:04"))
		fmt.Fprintf(&b, "%s  %s\r\n  %s\r\n", item.Asks, item.Party, item.Request)
		b.WriteString("\r\npayca request show says what exactly is asked; payca request approve, or reject, decides.\r\n")
		return b.Bytes()
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
