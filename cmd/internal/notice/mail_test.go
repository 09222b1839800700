package notice_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/mail"
	"strings"
	"testing"
	"time"

	"github.com/payca/payca/ca"
	"github.com/payca/payca/cmd/internal/notice"
)

func message() ca.Message {
	return ca.Message{ID: 7, Target: "mail", Topic: "expires within 7d", Created: epoch, Items: []ca.MessageItem{
		{Serial: ca.Serial{19: 2}, Party: "shop2", Role: "merchant", Profile: "merchant", NotAfter: epoch.Add(2 * day)},
		{Serial: ca.Serial{19: 1}, Party: "shop1", Role: "merchant", Profile: "merchant", NotAfter: epoch.Add(day)},
	}}
}

// mailTo is a target for a server that speaks no TLS.
func mailTo(server *smtpServer, to ...string) notice.Mail {
	return notice.Mail{Network: "pay.example", Server: server.address, Security: "none", From: "pki@pay.example", To: to}
}

func TestAMailSaysWhatEnds(t *testing.T) {
	t.Parallel()
	server := newSMTPServer(t)
	server.start()
	if err := mailTo(server, "a@pay.example", "b@pay.example").Send(t.Context(), message()); err != nil {
		t.Fatal(err)
	}
	taken := server.mails()
	if len(taken) != 1 || taken[0].from != "<pki@pay.example>" || strings.Join(taken[0].to, " ") != "<a@pay.example> <b@pay.example>" || taken[0].hello != "pay.example" {
		t.Fatalf("got %+v", taken)
	}
	m, err := mail.ReadMessage(strings.NewReader(taken[0].text))
	if err != nil {
		t.Fatal(err)
	}
	if id := m.Header.Get("Message-ID"); id != fmt.Sprintf("<notice-7-%d@pay.example>", epoch.Unix()) {
		t.Errorf("Message-ID %s", id)
	}
	if to, err := m.Header.AddressList("To"); err != nil || len(to) != 2 || m.Header.Get("Auto-Submitted") != "auto-generated" {
		t.Errorf("to %v, %v, headers %v", to, err, m.Header)
	}
	if subject := m.Header.Get("Subject"); subject != "pay.example: 2 certificates: expires within 7d" {
		t.Errorf("subject %q", subject)
	}
	body, err := io.ReadAll(m.Body)
	text := string(body)
	if err != nil || strings.Index(text, "shop1 (merchant, profile merchant)") > strings.Index(text, "shop2 (") || !strings.Contains(text, "2030-03-05 05:06") {
		t.Errorf("got %s, %v", text, err)
	}
	for line := range strings.Lines(taken[0].text) {
		if len(line) > 1000 || !strings.HasSuffix(line, "\r\n") {
			t.Errorf("line %q, want at most 998 octets and CRLF", line)
		}
	}
}

func TestManyReceiversMakeNoLongLine(t *testing.T) {
	t.Parallel()
	server := newSMTPServer(t)
	server.start()
	var to []string
	for i := range 60 {
		to = append(to, fmt.Sprintf("operator.%d@mail.pay.example", i))
	}
	if err := mailTo(server, to...).Send(t.Context(), message()); err != nil {
		t.Fatal(err)
	}
	m, err := mail.ReadMessage(strings.NewReader(server.mails()[0].text))
	if err != nil {
		t.Fatal(err)
	}
	if list, err := m.Header.AddressList("To"); err != nil || len(list) != 60 {
		t.Errorf("got %d receivers, %v, want 60", len(list), err)
	}
	for line := range strings.Lines(server.mails()[0].text) {
		if len(line) > 1000 {
			t.Errorf("a line of %d octets, want at most 1000", len(line))
		}
	}
}

func TestHowAMailFails(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		say      map[string]string
		security string
		attempts int
		want     string
		taken    int
	}{
		"the sender is refused":              {map[string]string{"MAIL": "550 no"}, "none", 1, "later", 0},
		"every receiver is refused":          {map[string]string{"RCPT": "550 no"}, "none", 1, "later", 0},
		"one receiver is refused":            {map[string]string{"RCPT TO:<b@pay.example>": "550 gone"}, "none", 1, "part", 1},
		"one receiver is put off":            {map[string]string{"RCPT TO:<b@pay.example>": "450 later"}, "none", 1, "later", 0},
		"one receiver is put off for long":   {map[string]string{"RCPT TO:<b@pay.example>": "452 full"}, "none", 6, "part", 1},
		"the server hangs up early":          {map[string]string{"RCPT": ""}, "none", 1, "later", 0},
		"the server is not ready":            {map[string]string{"DATA": "451 no"}, "none", 1, "later", 0},
		"the data are refused":               {map[string]string{".": "554 spam"}, "none", 1, "refused", 0},
		"the data are put off":               {map[string]string{".": "452 full"}, "none", 1, "later", 0},
		"the server hangs up at the end":     {map[string]string{".": ""}, "none", 1, "doubt", 0},
		"the server hangs up instead of bye": {map[string]string{"QUIT": ""}, "none", 1, "sent", 1},
		"STARTTLS is wanted, not offered":    {nil, "starttls", 1, "later", 0},
		"no TLS where TLS is wanted":         {nil, "tls", 1, "later", 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := newSMTPServer(t)
			server.say = tt.say
			server.start()
			target := mailTo(server, "a@pay.example", "b@pay.example")
			target.Security = tt.security
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			m := message()
			m.Attempts = tt.attempts
			if err := target.Send(ctx, m); outcome(err) != tt.want {
				t.Errorf("got %s, %v, want %s", outcome(err), err, tt.want)
			}
			if got := len(server.mails()); got != tt.taken {
				t.Errorf("%d mails were taken, want %d", got, tt.taken)
			}
		})
	}
}

func TestAMailOverTLS(t *testing.T) {
	t.Parallel()
	lender := httptest.NewTLSServer(http.NotFoundHandler()) // of a certificate for 127.0.0.1
	t.Cleanup(lender.Close)
	roots := x509.NewCertPool()
	roots.AddCert(lender.Certificate())
	known, stranger := &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}, &tls.Config{MinVersion: tls.VersionTLS12}
	for name, tt := range map[string]struct {
		security, password string
		conf               *tls.Config
		want               string
	}{
		"starttls":                       {"starttls", "right", known, "sent"},
		"tls":                            {"tls", "right", known, "sent"},
		"a wrong password":               {"starttls", "wrong", known, "later"},
		"a server that nobody vouches":   {"starttls", "right", stranger, "later"},
		"another, tls from the start":    {"tls", "right", stranger, "later"},
		"a password never travels plain": {"none", "right", known, "later"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := newSMTPServer(t)
			server.tls, server.implicit, server.password = lender.TLS.Clone(), tt.security == "tls", "right"
			server.tls.NextProtos = nil
			server.start()
			target := mailTo(server, "a@pay.example")
			target.Security, target.User, target.Password, target.TLS = tt.security, "payca", tt.password, tt.conf
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			err := target.Send(ctx, message())
			if outcome(err) != tt.want || (err == nil) != (len(server.mails()) == 1) {
				t.Errorf("got %s, %v, %d mails, want %s", outcome(err), err, len(server.mails()), tt.want)
			}
			if err != nil && strings.Contains(err.Error(), "right") {
				t.Errorf("%v tells the password", err)
			}
		})
	}
}
