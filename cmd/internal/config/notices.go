package config

import (
	"errors"
	"fmt"
	"net"
	"net/mail"
	"slices"
	"time"
)

// checkNotices checks how people are told of certificates that end soon.
func checkNotices(check func(path string, err error), n Notices) {
	for i, d := range n.Expiring {
		at := fmt.Sprintf("notices.expiring[%d]", i)
		check(at, checkRange(d, time.Hour, 365*24*time.Hour))
		if slices.Contains(n.Expiring[:i], d) {
			check(at, fmt.Errorf("%s stands above too, want it once", d))
		}
	}
	if n.Webhook.URL != "" {
		check("notices.webhook.url", checkHook(n.Webhook.URL))
	} else if n.Webhook.SecretFile != "" {
		check("notices.webhook.secret_file", errors.New("set without a url, want both or none"))
	}
	check("notices.mail.security", checkWord(n.Mail.Security, "starttls", "tls", "none"))
	if n.Mail.Server == "" {
		if n.Mail.From != "" || len(n.Mail.To) > 0 || n.Mail.User != "" || n.Mail.PasswordFile != "" || n.Mail.CAFile != "" {
			check("notices.mail.server", errors.New("empty, want the host:port of an SMTP server, or no other key of mail"))
		}
		return
	}
	check("notices.mail.server", checkServer(n.Mail.Server))
	check("notices.mail.from", checkAddress(n.Mail.From))
	if len(n.Mail.To) == 0 {
		check("notices.mail.to", errors.New("empty, want at least one address"))
	}
	for i, to := range n.Mail.To {
		at := fmt.Sprintf("notices.mail.to[%d]", i)
		check(at, checkAddress(to))
		if slices.Contains(n.Mail.To[:i], to) {
			check(at, fmt.Errorf("%s stands above too, want it once", to))
		}
	}
	if (n.Mail.User == "") != (n.Mail.PasswordFile == "") {
		check("notices.mail.user", errors.New("user without password_file or the reverse, want both or none"))
	}
	if n.Mail.CAFile != "" && n.Mail.Security == "none" {
		check("notices.mail.ca_file", errors.New("set with security none, want starttls or tls"))
	}
	if n.Mail.User != "" && n.Mail.Security == "none" {
		check("notices.mail.security", errors.New("none with a user, want starttls or tls: the password would travel in the clear"))
	}
}

// checkServer wants the address of a server elsewhere: with a host, and a port that is not 0.
func checkServer(addr string) error {
	if err := checkListen(addr); err != nil {
		return err
	}
	if host, port, _ := net.SplitHostPort(addr); host == "" || port == "0" {
		return fmt.Errorf("%q, want host:port, as in mail.example:587", addr)
	}
	return nil
}

// checkAddress wants an address without a name.
func checkAddress(text string) error {
	a, err := mail.ParseAddress(text)
	if err != nil || a.Address != text {
		return fmt.Errorf("%q, want an address, as in pki@pay.example", text)
	}
	return nil
}
