package bench

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"
)

// Config says what is measured, and how much.
type Config struct {
	Cases        []string // names, all if empty
	Certificates int      // in the large store, 0 to leave it out
	Dir          string   // for stores, "" for a temporary one; a large store is kept in one that is named
	Pairs        int      // of measurement and floor, 0 for 10
	Scale        float64  // of the work in each measurement, 0 for 1; tests do less
	Progress     func(format string, args ...any)
	// Loader starts the process that loads a server; see [Load]. Its arguments follow those given.
	Loader []string
	Payca  string // the program whose enroll is measured as a process, "" to leave it out
}

// A Figure is one thing that was measured.
type Figure struct {
	Name   string  `json:"name"`
	Value  float64 `json:"value"`
	Unit   string  `json:"unit"`
	AtMost float64 `json:"at_most,omitempty"`  // limit, 0 for none
	Least  float64 `json:"at_least,omitempty"` // limit, 0 for none
	Missed bool    `json:"missed,omitempty"`   // beyond a limit
}

// A Result is what one case measured.
type Result struct {
	Case    string   `json:"case"`
	About   string   `json:"about"`
	Figures []Figure `json:"figures"`
}

// A Report is what a run measured, and where.
type Report struct {
	Time    time.Time `json:"time"`
	CPU     string    `json:"cpu"`
	Cores   int       `json:"cores"`
	System  string    `json:"system"`
	Go      string    `json:"go"`
	Results []Result  `json:"results"`
}

// Missed lists the figures beyond their limit, CASE: NAME.
func (r Report) Missed() (names []string) {
	for _, result := range r.Results {
		for _, f := range result.Figures {
			if f.Missed {
				names = append(names, result.Case+": "+f.Name)
			}
		}
	}
	return names
}

// A benchmark is one case.
type benchmark struct {
	name, about string
	run         func(ctx context.Context, r *runner) error
}

// benchmarks are the cases in the order in which they run.
var benchmarks = []benchmark{
	{"decide", "what the gate asks before it signs: policy and lints", decision},
	{"issue", "one certificate through the gate: policy, lint, audit, durable, 16 at a time; the floor reads and verifies the CSR and signs the certificate; step-ca is its library with its bbolt store: token, signature, two commits", issuance},
	{"enroll", "payca enroll over HTTPS on loopback with a one-time token, key generation and files included, one at a time; then the token route alone, 16 clients on kept-alive connections, beside that of step-ca, its library with its bbolt store behind net/http", enrollment},
	{"ocsp", "the OCSP responder over HTTP, beside a bare net/http handler that writes as much", responder},
	{"status", "what status costs where there is a lot of it: reading requests, a CRL of a million beside that of crypto/x509, an index of ten million, and with --certificates revoking where so many are revoked", scale},
	{"handshake", "a TLS 1.3 handshake with certificates on both sides, with and without a status that is known", handshake},
	{"payments", "complete payments of 16 buyers over mutual TLS, order to transfer, all parties in one process, beside the cryptography that its objects cannot do without: 13 signatures, 23 verifications, 3 sealed and opened", payments},
	{"store", "the store at --certificates: opening, finding, listing, memory, size, verifying the log", largeStore},
}

// Names lists the cases.
func Names() []string {
	names := make([]string, len(benchmarks))
	for i, b := range benchmarks {
		names[i] = b.name
	}
	return names
}

// runner is what a case measures with.
type runner struct {
	Config
	figures []Figure
}

// add reports a figure.
func (r *runner) add(name string, value float64, unit string, atMost float64) {
	r.figures = append(r.figures, Figure{Name: name, Value: value, Unit: unit, AtMost: atMost, Missed: atMost > 0 && value > atMost})
}

// atLeast reports a figure with a limit below.
func (r *runner) atLeast(name string, value float64, unit string, least float64) {
	r.figures = append(r.figures, Figure{Name: name, Value: value, Unit: unit, Least: least, Missed: value < least})
}

// n scales an amount of work.
func (r *runner) n(amount int) int { return max(1, int(float64(amount)*r.Scale)) }

// Run measures. A case that cannot be measured ends the run.
func Run(ctx context.Context, cfg Config) (Report, error) {
	if cfg.Pairs == 0 {
		cfg.Pairs = 10
	}
	if cfg.Scale == 0 {
		cfg.Scale = 1
	}
	if cfg.Progress == nil {
		cfg.Progress = func(string, ...any) {}
	}
	for _, name := range cfg.Cases {
		if !slices.Contains(Names(), name) {
			return Report{}, fmt.Errorf("case %q, want one of %s", name, strings.Join(Names(), ", "))
		}
	}
	report := Report{Time: time.Now().UTC(), CPU: processor(), Cores: runtime.GOMAXPROCS(0), System: runtime.GOOS + "/" + runtime.GOARCH, Go: runtime.Version()}
	for _, b := range benchmarks {
		if len(cfg.Cases) > 0 && !slices.Contains(cfg.Cases, b.name) || b.name == "store" && cfg.Certificates == 0 {
			continue
		}
		cfg.Progress("%s: %s", b.name, b.about)
		r := &runner{Config: cfg}
		if err := b.run(ctx, r); err != nil {
			return report, fmt.Errorf("measuring %s: %w", b.name, err)
		}
		report.Results = append(report.Results, Result{Case: b.name, About: b.about, Figures: r.figures})
	}
	return report, ctx.Err()
}

// processor names the CPU, as Linux tells it.
func processor() string {
	raw, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(raw)) {
		if name, ok := strings.CutPrefix(line, "model name"); ok {
			return strings.TrimSpace(strings.TrimLeft(name, "\t: "))
		}
	}
	return "unknown"
}

// cpu is the CPU time that the process has used.
func cpu() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// A cost is what one piece of work takes.
type cost struct {
	cpu  time.Duration
	wall time.Duration
}

// measure runs work that does n pieces and returns the cost of one.
func measure(n int, work func(n int) error) (cost, error) {
	before, start := cpu(), time.Now()
	err := work(n)
	return cost{(cpu() - before) / time.Duration(n), time.Since(start) / time.Duration(n)}, err
}

// compare measures several kinds of work in turns, each time in another order so that none always profits or suffers from what
// came before it, and returns the median of each and of its ratio to the first, by CPU.
func (r *runner) compare(n int, works ...func(n int) error) (costs []cost, ratios []float64, err error) {
	all := make([][]cost, len(works))
	for range r.Pairs {
		for _, i := range rand.Perm(len(works)) { //nolint:gosec // nobody guesses at it
			c, err := measure(n, works[i])
			if err != nil {
				return nil, nil, err
			}
			all[i] = append(all[i], c)
		}
	}
	for i := range works {
		var of []float64
		for pair := range all[i] {
			of = append(of, float64(all[i][pair].cpu)/float64(max(1, all[0][pair].cpu)))
		}
		ratios = append(ratios, median(of))
		costs = append(costs, cost{
			time.Duration(median(in(all[i], func(c cost) time.Duration { return c.cpu }))),
			time.Duration(median(in(all[i], func(c cost) time.Duration { return c.wall }))),
		})
	}
	return costs, ratios, nil
}

func in(costs []cost, of func(cost) time.Duration) []float64 {
	list := make([]float64, len(costs))
	for i, c := range costs {
		list[i] = float64(of(c))
	}
	return list
}

func median(list []float64) float64 {
	list = slices.Sorted(slices.Values(list))
	n := len(list)
	if n == 0 {
		return 0
	}
	return (list[(n-1)/2] + list[n/2]) / 2
}

func micros(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1e3 }

func millis(d time.Duration) float64 { return float64(d.Microseconds()) / 1e3 }

// errNoLoader says that a case needs a process of its own.
var errNoLoader = errors.New("want the command that loads a server")
