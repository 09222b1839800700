package network

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"time"

	"github.com/payca/payca/cmd/internal/config"
	"github.com/payca/payca/cmd/internal/notice"
)

// openNotices makes what tells people of certificates that end soon, and of requests that wait for approvers; nil if nobody is to be told.
func (n *Network) openNotices(dir string) error {
	cfg := n.config.Notices
	targets := map[string]notice.Target{}
	if cfg.Mail.Server != "" {
		password, err := secretOf(dir, cfg.Mail.PasswordFile)
		if err != nil {
			return err
		}
		conf, err := mailTLS(dir, cfg.Mail.CAFile)
		if err != nil {
			return err
		}
		targets["mail"] = notice.Mail{
			Network: n.config.Network, Server: cfg.Mail.Server, Security: cfg.Mail.Security, TLS: conf,
			User: cfg.Mail.User, Password: string(password), From: cfg.Mail.From, To: cfg.Mail.To,
		}
	}
	if cfg.Webhook.URL != "" {
		secret, err := secretOf(dir, cfg.Webhook.SecretFile)
		if err != nil {
			return err
		}
		targets["webhook"] = notice.Webhook{Network: n.config.Network, URL: cfg.Webhook.URL, Secret: secret}
	}
	if len(targets) == 0 {
		return nil
	}
	var err error
	n.notices, err = notice.New(notice.Config{Store: n.store, Thresholds: thresholds(cfg), Targets: targets, Now: n.now, Logger: n.logger})
	return err
}

func thresholds(cfg config.Notices) []time.Duration {
	list := make([]time.Duration, len(cfg.Expiring))
	for i, d := range cfg.Expiring {
		list[i] = time.Duration(d)
	}
	return list
}

// secretOf reads the first line of a file; nil without a file.
func secretOf(dir, file string) ([]byte, error) {
	if file == "" {
		return nil, nil
	}
	raw, err := os.ReadFile(inDir(dir, file))
	if err != nil {
		return nil, fmt.Errorf("reading a secret for notices: %w", err)
	}
	line, _, _ := bytes.Cut(raw, []byte("\n"))
	if line = bytes.TrimRight(line, "\r"); len(line) == 0 {
		return nil, fmt.Errorf("reading a secret for notices: the first line of %s is empty, want the secret there", file)
	}
	return line, nil
}

// mailTLS trusts the certificates of a file; nil without a file, for the system's.
func mailTLS(dir, file string) (*tls.Config, error) {
	if file == "" {
		return nil, nil //nolint:nilnil // notice.Mail has that for the system's roots
	}
	raw, err := os.ReadFile(inDir(dir, file))
	if err != nil {
		return nil, fmt.Errorf("reading the roots of the mail server: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(raw) {
		return nil, fmt.Errorf("reading the roots of the mail server: %s holds no certificate, want PEM", file)
	}
	return &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}, nil
}

// noticeHealth is how the notices are, nil if there are none.
func (n *Network) noticeHealth(ctx context.Context) (*notice.Health, error) {
	if n.notices == nil {
		return nil, nil //nolint:nilnil // there is nothing to tell
	}
	h, err := n.notices.Health(ctx)
	return &h, err
}
