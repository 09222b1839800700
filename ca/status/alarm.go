package status

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"time"
)

// An Alarm is something that an operator has to see to.
type Alarm struct {
	Name   string `json:"name"`   // crl-publish, crl-stale, crl-budget, root-crl, ocsp
	About  string `json:"about"`  // the list or the issuer
	Detail string `json:"detail"` // what was found, and what would be right
}

// fullBudget is how many octets a full list may have: checkers read no more.
const fullBudget = 64 << 20

// Alarms says what is wrong now, the same things in the same order each time; nil if nothing is.
func (s *Service) Alarms() []Alarm {
	var alarms []Alarm
	raise := func(name, about, format string, args ...any) {
		alarms = append(alarms, Alarm{Name: name, About: about, Detail: fmt.Sprintf(format, args...)})
	}
	now := s.cfg.Now()
	if root := s.root.Load(); now.Add(s.cfg.RootAlarm).After(root.list.NextUpdate) {
		raise("root-crl", "root", "the root's CRL ends at %s, want a new one from a ceremony: payca ceremony crl", root.list.NextUpdate.Format(time.RFC3339))
	}
	if err := s.rootFailure.Load(); err != nil {
		raise("root-crl", "root", "%v", *err)
	}
	if err := s.responder.Load().Health(); err != nil {
		for line := range strings.SplitSeq(err.Error(), "\n") {
			raise("ocsp", "responder", "%s", line)
		}
	}
	for _, name := range s.order {
		is := s.issuers[name]
		if f := is.failure.Load(); f != nil {
			raise("crl-publish", name, "no new list since %s: %v", f.since.UTC().Format(time.RFC3339), f.err)
		}
		for _, l := range is.lists {
			p := l.load()
			if p == nil {
				continue
			}
			if now.After(p.nextUpdate.Add(-s.cfg.CRLValidity / 4)) {
				raise("crl-stale", l.path, "it ends at %s, want a newer one by now", p.nextUpdate.Format(time.RFC3339))
			}
			if budget := s.budget(l); p.size > budget {
				raise("crl-budget", l.path, "%d octets with %d entries, want at most %d: raise crl.shards, for new certificates", p.size, p.entries, budget)
			}
		}
	}
	return alarms
}

// budget is how many octets a list may have.
func (s *Service) budget(l *list) int64 {
	if l.shard > 0 {
		return s.cfg.ShardBudget
	}
	return fullBudget
}

// logAlarms tells of alarms that are new, and of those that are over.
func (s *Service) logAlarms(ctx context.Context, before map[Alarm]bool) map[Alarm]bool {
	current := map[Alarm]bool{}
	for _, alarm := range s.Alarms() {
		key := Alarm{Name: alarm.Name, About: alarm.About}
		if current[key] = true; !before[key] {
			s.cfg.Logger.LogAttrs(ctx, slog.LevelError, "alarm", slog.String("alarm", alarm.Name), slog.String("about", alarm.About), slog.String("detail", alarm.Detail))
		}
	}
	for alarm := range before {
		if !current[alarm] {
			s.cfg.Logger.LogAttrs(ctx, slog.LevelInfo, "alarm is over", slog.String("alarm", alarm.Name), slog.String("about", alarm.About))
		}
	}
	return current
}
