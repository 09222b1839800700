package config_test

import (
	"strings"
	"testing"

	"github.com/payca/payca/cmd/internal/config"
)

func TestLoadRefusesNotices(t *testing.T) {
	t.Parallel()
	const mail = "server: 'mail.example:587', from: a@b.example, to: [c@b.example]"
	for _, tt := range []struct{ name, notices, want string }{
		{"a time that is too short", "expiring: [5m]", "notices.expiring[0]: 5m0s, want 1h0m0s to 365d"},
		{"a time given twice", "expiring: [7d, 168h]", "notices.expiring[1]: 7d stands above too, want it once"},
		{"a webhook over ftp", "webhook: {url: 'ftp://x'}", "notices.webhook.url: url is none, want http or https, as in https://events.example/payca"},
		{"a secret for nobody", "webhook: {secret_file: x}", "notices.webhook.secret_file: set without a url, want both or none"},
		{"a misspelt key", "mail: {sever: x}", `unknown key "notices.mail.sever", want "notices.mail.server"`},
		{"receivers without a server", "mail: {to: [a@b.example]}", "notices.mail.server: empty, want the host:port of an SMTP server, or no other key of mail"},
		{"roots without a server", "mail: {ca_file: x}", "notices.mail.server: empty, want the host:port of an SMTP server, or no other key of mail"},
		{"a server without a port", "mail: {server: mail.example, from: a@b.example, to: [c@b.example]}", `notices.mail.server: "mail.example", want host:port, as in 127.0.0.1:8443`},
		{"a server without a host", "mail: {server: ':25', from: a@b.example, to: [c@b.example]}", `notices.mail.server: ":25", want host:port, as in mail.example:587`},
		{"port 0", "mail: {server: 'a.example:0', from: a@b.example, to: [c@b.example]}", `notices.mail.server: "a.example:0", want host:port, as in mail.example:587`},
		{"no sender", "mail: {server: 'a.example:25', to: [c@b.example]}", `notices.mail.from: "", want an address, as in pki@pay.example`},
		{"a sender with a name", "mail: {server: 'a.example:25', from: 'A <a@b.example>', to: [c@b.example]}", `notices.mail.from: "A <a@b.example>", want an address, as in pki@pay.example`},
		{"nobody to tell", "mail: {server: 'a.example:25', from: a@b.example}", "notices.mail.to: empty, want at least one address"},
		{"a receiver given twice", "mail: {server: 'a.example:25', from: a@b.example, to: [c@b.example, c@b.example]}", "notices.mail.to[1]: c@b.example stands above too, want it once"},
		{"an injected header", `mail: {server: 'a.example:25', from: "a@b.example\r\nBcc: x@y", to: [c@b.example]}`, `notices.mail.from: "a@b.example\r\nBcc: x@y", want an address, as in pki@pay.example`},
		{"a user without a password", "mail: {" + mail + ", user: x}", "notices.mail.user: user without password_file or the reverse, want both or none"},
		{"a password in the clear", "mail: {" + mail + ", user: x, password_file: y, security: none}", "notices.mail.security: none with a user, want starttls or tls: the password would travel in the clear"},
		{"roots for nothing", "mail: {" + mail + ", ca_file: y, security: none}", "notices.mail.ca_file: set with security none, want starttls or tls"},
		{"a word that is none", "mail: {" + mail + ", security: ssl}", `notices.mail.security: "ssl", want one of starttls, tls, none`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			path := write(t, "network: a.example\nnotices: {"+tt.notices+"}\n")
			_, err := config.Load(path)
			if got := brief(err, path); got != "payca.yaml:2: "+tt.want {
				t.Errorf("got\n%s\nwant\n%s", got, tt.want)
			}
		})
	}
	good := "network: a.example\nnotices: {expiring: [30d, 12h], mail: {" + mail + ", user: x, password_file: y, ca_file: z}, webhook: {url: 'https://x.example/y', secret_file: s}}\n"
	cfg, err := config.Load(write(t, good))
	if err != nil || cfg.Notices.Mail.Security != "starttls" || len(cfg.Notices.Expiring) != 2 || !strings.HasPrefix(cfg.Notices.Webhook.URL, "https:") {
		t.Errorf("got %+v, %v, want what the file says", cfg.Notices, err)
	}
}
