package config

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/payca/payca/ca"
	"github.com/payca/payca/policy"
)

// Validate checks every field and joins all that is wrong, each a *[FieldError].
func (c *Config) Validate() error {
	var errs []error
	check := func(path string, err error) {
		if err != nil {
			errs = append(errs, &FieldError{Path: path, Err: err})
		}
	}
	check("network", policy.CheckNetworkName(c.Network))
	check("listen.https", checkListen(c.Listen.HTTPS))
	check("listen.http", checkListen(c.Listen.HTTP))
	if c.Listen.HTTPS == c.Listen.HTTP && !strings.HasSuffix(c.Listen.HTTP, ":0") {
		check("listen.http", fmt.Errorf("%q is listen.https too, want another port", c.Listen.HTTP))
	}
	check("status_url", checkStatusURL(c.StatusURL))
	for i, name := range c.ServerNames {
		check(fmt.Sprintf("server_names[%d]", i), policy.CheckDNSName(name))
	}
	for i, addr := range c.Addresses {
		if !addr.IsValid() || addr.Zone() != "" || addr.Is4In6() {
			check(fmt.Sprintf("addresses[%d]", i), fmt.Errorf("%q, want an IPv4 or IPv6 address", addr))
		}
	}
	if len(c.ServerNames)+len(c.Addresses) == 0 {
		check("server_names", errors.New("empty, as addresses is, want the names under which parties reach the CA"))
	}
	check("store.bolt", checkPath(c.Store.Bolt))
	check("keys.passphrase_file", checkPath(c.Keys.PassphraseFile))
	for i, path := range c.Keys.WeakLists {
		check(fmt.Sprintf("keys.weak_lists[%d]", i), checkPath(path))
	}
	check("recheck.at", checkTimeOfDay(c.Recheck.At))
	check("recheck.load", checkLoad(c.Recheck.Load))
	profiles, err := c.CompileProfiles()
	if err != nil {
		errs = append(errs, listOf(err)...)
	}
	errs = append(errs, c.checkApprovals(profiles)...)
	if _, err := c.CompileEndpoints(); err != nil {
		errs = append(errs, listOf(err)...)
	}
	c.checkStatus(check)
	checkNotices(check, c.Notices)
	for i, s := range c.Audit.Sinks {
		check(fmt.Sprintf("audit.sinks[%d]", i), checkSink(s, c.Audit.Sinks[:i]))
	}
	check("log.level", checkWord(c.Log.Level, "debug", "info", "warn", "error"))
	check("log.format", checkWord(c.Log.Format, "text", "json"))
	return errors.Join(errs...)
}

// checkStatus checks what the CA says about its certificates.
func (c *Config) checkStatus(check func(path string, err error)) {
	check("ocsp.validity", checkRange(c.OCSP.Validity, 10*time.Minute, 10*24*time.Hour))
	check("ocsp.max_age", checkRange(c.OCSP.MaxAge, 0, time.Duration(c.OCSP.Validity)/2))
	check("ocsp.responder_id", checkWord(c.OCSP.ResponderID, "key", "name"))
	check("ocsp.retention", checkRange(c.OCSP.Retention, 0, 20*366*24*time.Hour))
	check("crl.validity", checkRange(c.CRL.Validity, time.Hour, 90*24*time.Hour))
	check("crl.interval", checkRange(c.CRL.Interval, time.Minute, time.Duration(c.CRL.Validity)/2))
	check("crl.shards", checkNumber(int64(c.CRL.Shards), 0, ca.MaxShards))
	for _, name := range slices.Sorted(maps.Keys(c.CRL.ShardsOf)) {
		check("crl.shards_of", checkWord(name, policy.CAs()...))
		check("crl.shards_of."+name, checkNumber(int64(c.CRL.ShardsOf[name]), 0, ca.MaxShards))
	}
	check("crl.shard_budget", checkNumber(c.CRL.ShardBudget, 1<<10, 64<<20))
	check("crl.root_alarm", checkRange(c.CRL.RootAlarm, 24*time.Hour, 365*24*time.Hour))
}

func checkListen(addr string) error {
	host, port, err := net.SplitHostPort(addr)
	n, perr := strconv.ParseUint(port, 10, 16)
	if err != nil || perr != nil || strconv.FormatUint(n, 10) != port {
		return fmt.Errorf("%q, want host:port, as in 127.0.0.1:8443", addr)
	}
	if host != "" && net.ParseIP(host) == nil && policy.CheckDNSName(host) != nil {
		return fmt.Errorf("%q: host %q, want an IP address or a DNS name", addr, host)
	}
	return nil
}

func checkStatusURL(text string) error {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Scheme != "http" || u.Hostname() == "":
		return fmt.Errorf("%q, want http://host[:port][/path]", text)
	case u.User != nil || u.RawQuery != "" || u.ForceQuery || u.Fragment != "" || strings.Contains(text, "#"):
		return fmt.Errorf("%q, want no user, query or fragment", text)
	case strings.HasSuffix(text, "/"):
		return fmt.Errorf("%q, want no slash at the end", text)
	}
	return nil
}

func checkPath(path string) error {
	if path == "" {
		return errors.New("empty, want a path")
	}
	return nil
}

func checkRange(d policy.Duration, low, high time.Duration) error {
	if t := time.Duration(d); t < low || t > high {
		return fmt.Errorf("%s, want %s to %s", d, policy.Duration(low), policy.Duration(high))
	}
	return nil
}

func checkNumber(n, low, high int64) error {
	if n < low || n > high {
		return fmt.Errorf("%d, want %d to %d", n, low, high)
	}
	return nil
}

func checkWord(word string, words ...string) error {
	if !slices.Contains(words, word) {
		return fmt.Errorf("%q, want one of %s", word, strings.Join(words, ", "))
	}
	return nil
}
