package notice_test

import (
	"bufio"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
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

// mailServer speaks as much SMTP as is needed. say maps the first word of a command to another answer; "." is the end of
// the data, and an answer of "" hangs up.
func mailServer(t *testing.T, say map[string]string) (address string, got <-chan string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	mails := make(chan string, 4)
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go serveMail(conn, say, mails)
		}
	}()
	return listener.Addr().String(), mails
}

func serveMail(conn net.Conn, say map[string]string, mails chan<- string) {
	defer func() { _ = conn.Close() }()
	in := bufio.NewReader(conn)
	answers := map[string]string{"EHLO": "250-here\r\n250 8BITMIME", "DATA": "354 go on", ".": "250 taken", "QUIT": "221 bye"}
	fmt.Fprint(conn, "220 here\r\n")
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		word, _, _ := strings.Cut(strings.TrimSpace(line), " ")
		var text strings.Builder
		if word == "DATA" && say["DATA"] == "" {
			fmt.Fprint(conn, answers["DATA"]+"\r\n")
			for line != ".\r\n" {
				text.WriteString(line)
				if line, err = in.ReadString('\n'); err != nil {
					return
				}
			}
			word = "."
		}
		answer, other := say[word]
		if !other {
			if answer = answers[word]; answer == "" {
				answer = "250 well"
			}
		}
		if answer == "" {
			return
		}
		if word == "." && strings.HasPrefix(answer, "2") {
			mails <- strings.TrimPrefix(text.String(), "DATA\r\n")
		}
		fmt.Fprint(conn, answer+"\r\n")
	}
}

func TestAMailSaysWhatEnds(t *testing.T) {
	t.Parallel()
	address, got := mailServer(t, nil)
	target := notice.Mail{Network: "pay.example", Server: address, Security: "none", From: "pki@pay.example", To: []string{"a@pay.example", "b@pay.example"}}
	if err := target.Send(t.Context(), message()); err != nil {
		t.Fatal(err)
	}
	m, err := mail.ReadMessage(strings.NewReader(<-got))
	if err != nil {
		t.Fatal(err)
	}
	if id := m.Header.Get("Message-ID"); id != fmt.Sprintf("<notice-7-%d@pay.example>", epoch.Unix()) {
		t.Errorf("Message-ID %s", id)
	}
	if to, err := m.Header.AddressList("To"); err != nil || len(to) != 2 || m.Header.Get("Auto-Submitted") != "auto-generated" {
		t.Errorf("to %v, %v, headers %v", to, err, m.Header)
	}
	body, err := io.ReadAll(m.Body)
	text := string(body)
	if err != nil || strings.Index(text, "shop1 (merchant, profile merchant)") > strings.Index(text, "shop2 (") || !strings.Contains(text, "2030-03-05 05:06") {
		t.Errorf("got %s, %v", text, err)
	}
}

func TestHowAMailFails(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		say      map[string]string
		security string
		refused  bool
		doubt    bool
	}{
		"the sender is refused":           {map[string]string{"MAIL": "550 no"}, "none", true, false},
		"a receiver is put off":           {map[string]string{"RCPT": "450 later"}, "none", false, false},
		"the server hangs up early":       {map[string]string{"RCPT": ""}, "none", false, false},
		"the data are refused":            {map[string]string{".": "554 spam"}, "none", true, false},
		"the data are put off":            {map[string]string{".": "452 full"}, "none", false, false},
		"the server hangs up at the end":  {map[string]string{".": ""}, "none", false, true},
		"STARTTLS is wanted, not offered": {nil, "starttls", true, false},
		"no TLS where TLS is wanted":      {nil, "tls", false, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			address, got := mailServer(t, tt.say)
			target := notice.Mail{Network: "pay.example", Server: address, Security: tt.security, From: "pki@pay.example", To: []string{"a@pay.example"}}
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			err := target.Send(ctx, message())
			var refused *notice.RefusedError
			var doubt *notice.DoubtError
			if err == nil || errors.As(err, &refused) != tt.refused || errors.As(err, &doubt) != tt.doubt {
				t.Errorf("got %v, want refused %v, in doubt %v", err, tt.refused, tt.doubt)
			}
			if len(got) != 0 {
				t.Error("a mail was taken")
			}
		})
	}
}

func TestAWebhookIsSigned(t *testing.T) {
	t.Parallel()
	status := make(chan int, 1)
	var body []byte
	var header http.Header
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ = io.ReadAll(r.Body)
		header = r.Header.Clone()
		w.WriteHeader(<-status)
	}))
	defer server.Close()
	target := notice.Webhook{Network: "pay.example", URL: server.URL, Secret: []byte("secret")}
	for code, refused := range map[int]bool{204: false, 302: false, 404: true, 410: true, 408: false, 429: false, 503: false} {
		status <- code
		err := target.Send(t.Context(), message())
		var final *notice.RefusedError
		if (err == nil) != (code == 204) || errors.As(err, &final) != refused {
			t.Errorf("%d: got %v, want refused %v", code, err, refused)
		}
		mac := hmac.New(sha256.New, []byte("secret"))
		mac.Write(body)
		if header.Get("Payca-Signature") != "sha256="+hex.EncodeToString(mac.Sum(nil)) || header.Get("Idempotency-Key") != fmt.Sprintf("notice-7-%d", epoch.Unix()) {
			t.Errorf("headers %v", header)
		}
		if !strings.Contains(string(body), `"party":"shop1"`) || !strings.Contains(string(body), `"topic":"expires within 7d"`) {
			t.Errorf("body %s", body)
		}
	}
	server.Close()
	var doubt *notice.DoubtError
	if err := target.Send(t.Context(), message()); !errors.As(err, &doubt) {
		t.Errorf("not reached: got %v, want doubt", err)
	}
}
