package config

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"slices"
)

// A Sink is where the events of the audit log are sent too.
type Sink struct {
	// Name is under what its position is kept; with another name it starts with the first event again.
	Name string `yaml:"name"`
	// Type is file, syslog or webhook.
	Type string `yaml:"type"`
	// Path is the file that a file sink appends to, relative to payca's directory.
	Path string `yaml:"path,omitempty"`
	// Address is the host:port of a syslog server, over TCP.
	Address string `yaml:"address,omitempty"`
	// URL is where a webhook posts to, http or https.
	URL string `yaml:"url,omitempty"`
}

var sinkName = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,62}$`)

// checkSink refuses half a sink, and one that says more than its type takes.
func checkSink(s Sink, above []Sink) error {
	switch {
	case !sinkName.MatchString(s.Name):
		return fmt.Errorf("name %q, want lower-case letters, digits and hyphens, at most 63", s.Name)
	case slices.ContainsFunc(above, func(t Sink) bool { return t.Name == s.Name }):
		return fmt.Errorf("name %q stands above too, want it once", s.Name)
	}
	if err := checkWord(s.Type, "file", "syslog", "webhook"); err != nil {
		return fmt.Errorf("type %w", err)
	}
	given := map[string]string{"path": s.Path, "address": s.Address, "url": s.URL}
	wanted := map[string]string{"file": "path", "syslog": "address", "webhook": "url"}[s.Type]
	for _, key := range []string{"path", "address", "url"} {
		if key != wanted && given[key] != "" {
			return fmt.Errorf("type %s with %s, want %s alone", s.Type, key, wanted)
		}
	}
	switch s.Type {
	case "file":
		return checkPath(s.Path)
	case "syslog":
		return checkListen(s.Address)
	}
	return checkHook(s.URL)
}

// checkHook wants a URL without a user: the configuration is shown to people.
func checkHook(text string) error {
	u, err := url.Parse(text)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Hostname() == "" {
		return errors.New("url is none, want http or https, as in https://events.example/payca")
	}
	if u.User != nil || u.Fragment != "" {
		return errors.New("url has a user or fragment, want none")
	}
	return nil
}
