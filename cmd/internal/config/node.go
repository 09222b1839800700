package config

import (
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"time"

	"github.com/payca/payca/policy"
)

// NodeFileName is the name of the configuration file of a status node in payca's directory.
const NodeFileName = "status.yaml"

// StatusNode is the configuration of one status node.
type StatusNode struct {
	// Identity is the identity directory that payca enroll made: certificate, key, and the root of the network. Paths are relative to the directory of this file.
	Identity string `yaml:"identity"`
	// Upstream is the https URL of the CA, if it is not the one that the identity is from.
	Upstream string `yaml:"upstream,omitempty"`
	// Data is the directory in which it keeps what it knows, made if it does not exist.
	Data string `yaml:"data"`
	// Listen is the host:port of OCSP and CRLs, over plain HTTP.
	Listen string `yaml:"listen"`
	// Validity is the time from thisUpdate to nextUpdate of an answer; for so long the node goes on without the CA.
	Validity policy.Duration `yaml:"validity"`
	// MaxAge is how long HTTP caches may keep an answer.
	MaxAge policy.Duration `yaml:"max_age"`
	// Retention is for how long after its end the status of a certificate is told, as the archive cutoff of answers says; 0s says nothing.
	Retention policy.Duration `yaml:"retention"`
	// Log is the shape of the log on standard error.
	Log Log `yaml:"log"`

	dir string // of the file
}

// DefaultStatusNode is the configuration of a status node of which nothing is known.
func DefaultStatusNode() StatusNode {
	return StatusNode{
		Data: "status", Listen: "127.0.0.1:8080", Validity: policy.Duration(time.Hour), MaxAge: policy.Duration(5 * time.Minute),
		Retention: Default("").OCSP.Retention, Log: Log{Level: "info", Format: "text"},
	}
}

// LoadStatusNode reads the configuration of a status node at path. The error joins all that is wrong with the file.
func LoadStatusNode(path string) (StatusNode, error) {
	c := DefaultStatusNode()
	if err := readFile(path, &c, func() error { return c.validate() }); err != nil {
		return StatusNode{}, err
	}
	var err error
	c.dir, err = filepath.Abs(filepath.Dir(path))
	return c, err
}

// Path returns a path of the configuration, from the directory of its file.
func (c *StatusNode) Path(path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(c.dir, path)
}

func (c *StatusNode) validate() error {
	var errs []error
	check := func(path string, err error) {
		if err != nil {
			errs = append(errs, &FieldError{Path: path, Err: err})
		}
	}
	check("identity", checkPath(c.Identity))
	check("data", checkPath(c.Data))
	check("listen", checkListen(c.Listen))
	if c.Upstream != "" {
		if u, err := url.Parse(c.Upstream); err != nil || u.Scheme != "https" || u.Hostname() == "" || u.Path != "" {
			check("upstream", fmt.Errorf("%q, want https://HOST[:PORT]", c.Upstream))
		}
	}
	check("validity", checkRange(c.Validity, 10*time.Minute, 7*24*time.Hour))
	check("max_age", checkRange(c.MaxAge, 0, time.Hour))
	check("retention", checkRange(c.Retention, 0, 100*366*24*time.Hour))
	check("log.level", checkWord(c.Log.Level, "debug", "info", "warn", "error"))
	check("log.format", checkWord(c.Log.Format, "text", "json"))
	return errors.Join(errs...)
}
