package notice_test

import (
	"bufio"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
)

// An smtpServer speaks as much SMTP as is needed.
type smtpServer struct {
	address  string
	listener net.Listener
	say      map[string]string // other answers, by the line of a command or its first word; "." is the end of the data, "" hangs up
	tls      *tls.Config       // nil for none
	implicit bool              // TLS from the start
	password string            // of payca; "" for no AUTH
	at       func(what string) // called before the answer to a command, and with "answered" after one to the data

	mu    sync.Mutex
	taken []takenMail // guarded by mu
}

type takenMail struct {
	hello, from, text string
	to                []string
}

// newSMTPServer listens; start makes it answer.
func newSMTPServer(t *testing.T) *smtpServer {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	return &smtpServer{address: listener.Addr().String(), listener: listener}
}

// start accepts connections; what the server is must not change after.
func (s *smtpServer) start() {
	go func() {
		for {
			conn, err := s.listener.Accept()
			if err != nil {
				return
			}
			go s.serve(conn)
		}
	}()
}

func (s *smtpServer) mails() []takenMail {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.taken)
}

// A session is one connection.
type session struct {
	*smtpServer
	conn   net.Conn
	in     *bufio.Reader
	secure bool
	mail   takenMail
}

func (s *smtpServer) serve(conn net.Conn) {
	c := &session{smtpServer: s, conn: conn}
	if s.implicit {
		c.conn, c.secure = tls.Server(conn, s.tls), true
	}
	defer func() { _ = c.conn.Close() }()
	c.in = bufio.NewReader(c.conn)
	fmt.Fprint(c.conn, "220 here\r\n")
	for {
		line, err := c.in.ReadString('\n')
		if err != nil {
			return
		}
		line = strings.TrimRight(line, "\r\n")
		if !c.answer(line) {
			return
		}
	}
}

// answer answers a command, and says whether the connection goes on.
func (c *session) answer(line string) bool {
	word, rest, _ := strings.Cut(line, " ")
	if c.at != nil {
		c.at(word)
	}
	text, other := c.said(line, word)
	if other {
		if text != "" {
			fmt.Fprint(c.conn, text+"\r\n")
		}
		return text != ""
	}
	switch word {
	case "EHLO":
		c.mail.hello = rest
		text = "250-here\r\n250-8BITMIME"
		if c.tls != nil && !c.secure {
			text += "\r\n250-STARTTLS"
		}
		if c.password != "" {
			text += "\r\n250-AUTH PLAIN"
		}
		text += "\r\n250 HELP"
	case "STARTTLS":
		fmt.Fprint(c.conn, "220 go on\r\n")
		c.conn, c.secure = tls.Server(c.conn, c.tls), true
		c.in = bufio.NewReader(c.conn)
		return true
	case "AUTH":
		text = "535 no"
		if c.secure && rest == "PLAIN "+base64.StdEncoding.EncodeToString([]byte("\x00payca\x00"+c.password)) {
			text = "235 yes"
		}
	case "MAIL":
		from, _, _ := strings.Cut(strings.TrimPrefix(rest, "FROM:"), " ")
		c.mail.from, c.mail.to, text = from, nil, "250 well"
	case "RCPT":
		c.mail.to, text = append(c.mail.to, strings.TrimPrefix(rest, "TO:")), "250 well"
	case "DATA":
		fmt.Fprint(c.conn, "354 go on\r\n")
		return c.data()
	case "QUIT":
		fmt.Fprint(c.conn, "221 bye\r\n")
		return false
	default:
		text = "502 what"
	}
	fmt.Fprint(c.conn, text+"\r\n")
	return true
}

func (c *session) said(line, word string) (string, bool) {
	if text, ok := c.say[line]; ok {
		return text, true
	}
	text, ok := c.say[word]
	return text, ok
}

// data takes a mail. It is taken before the answer, as servers do.
func (c *session) data() bool {
	var text strings.Builder
	for {
		line, err := c.in.ReadString('\n')
		if err != nil {
			return false
		}
		if line == ".\r\n" {
			break
		}
		text.WriteString(strings.TrimPrefix(line, "."))
	}
	answer, other := c.say["."]
	if !other {
		c.mail.text, answer = text.String(), "250 taken"
		c.mu.Lock()
		c.taken = append(c.taken, c.mail)
		c.mu.Unlock()
	}
	if c.at != nil {
		c.at(".")
	}
	if answer != "" {
		fmt.Fprint(c.conn, answer+"\r\n")
	}
	if c.at != nil {
		c.at("answered")
	}
	return answer != ""
}
