package network

import (
	"fmt"

	"github.com/payca/payca/cmd/internal/config"
	"github.com/payca/payca/cmd/internal/sink"
)

// openSinks opens what the audit log is delivered to.
func (n *Network) openSinks(dir string) error {
	for _, cfg := range n.config.Audit.Sinks {
		s, err := sink.New(sink.Config{
			Name: cfg.Name, Target: n.target(dir, cfg), Log: n.store.Log(), Position: caDir(dir).path("sinks", cfg.Name),
			Logger: n.logger, Now: n.now,
		})
		if err != nil {
			return fmt.Errorf("opening the sinks of the audit log: %w", err)
		}
		n.sinks = append(n.sinks, s)
	}
	return nil
}

func (n *Network) target(dir string, cfg config.Sink) sink.Target {
	switch cfg.Type {
	case "file":
		return sink.File{Path: inDir(dir, cfg.Path)}
	case "syslog":
		return sink.Syslog{Address: cfg.Address, Host: n.config.Network}
	}
	return sink.Webhook{URL: cfg.URL}
}

// sinkHealth is how the sinks are.
func (n *Network) sinkHealth() []sink.Health {
	all := make([]sink.Health, len(n.sinks))
	for i, s := range n.sinks {
		all[i] = s.Health()
	}
	return all
}
