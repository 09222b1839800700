package enroll_test

import (
	"context"
	"crypto"
	"crypto/x509"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/payca/payca/enroll"
	"github.com/payca/payca/enroll/internal/testca"
	"github.com/payca/payca/enroll/problem"
	"github.com/payca/payca/policy"
)

const (
	day    = 24 * time.Hour
	month  = 30 * day
	window = month / 10 // in which a certificate is renewed, after two thirds of its life
)

// A keeper is an identity in a directory, a CA of which the test decides what it does, and what Run did.
type keeper struct {
	t     *testing.T
	ca    *testca.CA
	dir   string
	life  time.Duration // of the next certificate
	age   time.Duration // how old it is when it is issued
	fail  error         // what the CA says, nil for a certificate
	fails error         // what the program says that is told of a change

	mu    sync.Mutex  // the test holds it but while time passes
	asked []time.Time // when the CA was asked
	told  []string    // serials
	start time.Time
	end   chan error
}

// keep runs test in a bubble, with an identity for a month.
func keep(t *testing.T, test func(k *keeper)) {
	t.Parallel()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		k := &keeper{t: t, ca: testca.Make(t, 900*day), dir: dir, life: month, start: time.Now(), end: make(chan error, 1)}
		save(t, k.issue("shop1", testca.Key(t)), dir)
		k.mu.Lock()
		defer k.mu.Unlock()
		test(k)
	})
}

func (k *keeper) issue(party string, key crypto.Signer) *enroll.Credential {
	from := time.Now().Add(-k.age)
	made := k.ca.Issue(k.t, testca.Leaf{Role: policy.Merchant, Party: party, NotBefore: from, NotAfter: from.Add(k.life), Key: key.Public()})
	c := &enroll.Credential{
		Identity: policy.Identity{Network: testca.Network, Role: policy.Merchant, Party: party},
		URL:      "https://localhost:8443", Key: key, Roots: []*x509.Certificate{k.ca.Root},
	}
	for _, der := range made.Certificate {
		parsed, err := x509.ParseCertificate(der)
		must(k.t, err)
		c.Chain = append(c.Chain, parsed)
	}
	return c
}

func (k *keeper) renew(_ context.Context, stands *enroll.Credential) (*enroll.Credential, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.asked = append(k.asked, time.Now())
	if k.fail != nil {
		return nil, k.fail
	}
	return k.issue("shop1", stands.Key), nil
}

func (k *keeper) changed(_ context.Context, c *enroll.Credential) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.told = append(k.told, c.Leaf().SerialNumber.Text(16))
	return k.fails
}

// run starts Run; what it returns is in k.end, or nil when the test ends.
func (k *keeper) run(endExpired bool) *enroll.Source {
	source, err := enroll.OpenSource(enroll.SourceConfig{Dir: k.dir, Renew: k.renew, Changed: k.changed, EndExpired: endExpired})
	must(k.t, err)
	ctx, cancel := context.WithCancel(k.t.Context())
	done := make(chan struct{})
	go func() { k.end <- source.Run(ctx); close(done) }()
	k.t.Cleanup(func() { cancel(); <-done })
	return source
}

// pass lets time go by.
func (k *keeper) pass(d time.Duration) {
	k.mu.Unlock()
	defer k.mu.Lock()
	time.Sleep(d)
	synctest.Wait()
}

func (k *keeper) leaf() *x509.Certificate {
	k.t.Helper()
	c, err := enroll.Open(k.dir)
	must(k.t, err)
	return c.Leaf()
}

func TestRunRenewsAtTwoThirdsForMonths(t *testing.T) {
	days := 400
	if testing.Short() {
		days = 100
	}
	keep(t, func(k *keeper) {
		source := k.run(true)
		for range days * 4 {
			k.pass(6 * time.Hour)
			cert, err := source.Certificate()
			must(t, err)
			if left := time.Until(cert.Leaf.NotAfter); left < month/3-window-6*time.Hour || left > month {
				t.Fatalf("after %v: %v left of a month", time.Since(k.start), left)
			}
		}
		if n := len(k.asked); n < days/23-1 || n > days/20 {
			t.Errorf("the CA was asked %d times in %d days, want once for each 20 to 23", n, days)
		}
		before, spread := k.start, map[time.Duration]bool{}
		for _, at := range k.asked {
			after := at.Sub(before)
			if after < month*2/3 || after > month*2/3+window+time.Minute {
				t.Errorf("renewed after %v, want two thirds of a month and up to a tenth", after)
			}
			before, spread[after.Truncate(time.Hour)] = at, true
		}
		if len(spread) < min(3, len(k.asked)) {
			t.Errorf("renewals come after %v, want them spread", spread)
		}
		if slices.Sort(k.told); len(slices.Compact(k.told)) != len(k.asked)+1 {
			t.Errorf("%d changes told, want the first certificate and each of %d renewals, once", len(k.told), len(k.asked))
		}
	})
}

func TestRunSurvivesDaysWithoutTheCA(t *testing.T) {
	keep(t, func(k *keeper) {
		k.run(true)
		k.fail = errors.New("connection refused")
		k.pass(month*2/3 + 8*day)
		if n := len(k.asked); n < 100 || n > 9*24 {
			t.Errorf("the CA was asked %d times in some 5 to 8 days, want about every hour", n)
		}
		for i := range k.asked[1:min(6, len(k.asked)-1)] {
			if gap := k.asked[i+1].Sub(k.asked[i]); gap < 30*time.Second<<i || gap > (30*time.Second<<i)*5/4 {
				t.Errorf("try %d came %v after the one before, want %v and up to a quarter", i+1, gap, 30*time.Second<<i)
			}
		}
		k.fail = nil
		k.pass(80 * time.Minute)
		if left := time.Until(k.leaf().NotAfter); left < month-2*time.Hour {
			t.Errorf("%v left an hour after the CA came back, want a new certificate", left)
		}
		before := len(k.asked)
		k.pass(day)
		if n := len(k.asked) - before; n != 0 {
			t.Errorf("the CA was asked %d times on the day after, want none", n)
		}
	})
}

func TestRunNeverLoops(t *testing.T) {
	for name, spoil := range map[string]func(k *keeper){
		"the CA issues what is due at once":     func(k *keeper) { k.life, k.age = month, month*9/10 },
		"the CA issues what has expired":        func(k *keeper) { k.life, k.age = month, 2*month },
		"the CA refuses":                        func(k *keeper) { k.fail = &problem.Problem{Status: 403, Detail: "no"} },
		"the program does not take the change":  func(k *keeper) { k.fails = errors.New("cannot reload") },
		"somebody else's identity is put there": func(k *keeper) { save(k.t, k.issue("shop2", testca.Key(k.t)), k.dir) },
	} {
		t.Run(name, func(t *testing.T) {
			keep(t, func(k *keeper) {
				source := k.run(false)
				k.pass(month*2/3 + window)
				asked, told := len(k.asked), len(k.told)
				spoil(k)
				k.pass(3 * day)
				if n := len(k.asked) - asked; n > 3*24+10 {
					t.Errorf("the CA was asked %d times in 3 days", n)
				}
				if n := len(k.told) - told; n > 3*24+10 {
					t.Errorf("the program was told %d times in 3 days", n)
				}
				if id := source.Identity().Party; id != "shop1" {
					t.Errorf("the source is %s now", id)
				}
			})
		})
	}
}

func TestRunTellsAgainUntilTheChangeIsTaken(t *testing.T) {
	keep(t, func(k *keeper) {
		k.fails = errors.New("cannot reload")
		k.run(true)
		k.pass(3 * time.Minute)
		if n := len(k.told); n < 3 || n > 4 {
			t.Errorf("told %d times in 3 minutes, want 3 or 4", n)
		}
		k.fails = nil
		k.pass(time.Hour)
		told := len(k.told)
		k.pass(10 * day)
		if len(k.told) != told || len(k.asked) != 0 {
			t.Errorf("told %d times more and asked %d times, want neither", len(k.told)-told, len(k.asked))
		}
	})
}

func TestRunTakesWhatAnotherProcessPutThere(t *testing.T) {
	keep(t, func(k *keeper) {
		source := k.run(true)
		k.pass(5 * day)
		c, err := enroll.Open(k.dir)
		must(t, err)
		next := k.issue("shop1", testca.Key(t)) // also with another key
		save(t, next, k.dir)
		k.pass(11 * time.Minute)
		cert, err := source.Certificate()
		must(t, err)
		if cert.Leaf.Equal(c.Leaf()) || !cert.Leaf.Equal(next.Leaf()) || len(k.asked) != 0 || len(k.told) != 2 {
			t.Errorf("got certificate %x, asked %d times, told %d times, want %x, none, and twice", cert.Leaf.SerialNumber, len(k.asked), len(k.told), next.Leaf().SerialNumber)
		}
	})
}

func TestRunEndsWithAnExpiredCertificateIfItIsTold(t *testing.T) {
	refusal := &problem.Problem{Status: 403, Detail: "expired"}
	for _, tt := range []struct {
		name       string
		fail       error
		endExpired bool
		after      time.Duration // since it expired
		ended      bool
	}{
		{"the CA refuses", refusal, true, 2 * time.Hour, true},
		{"the CA refuses, and Run is not to end", refusal, false, month, false},
		{"the CA has too much to do", &problem.Problem{Status: 503}, true, 2 * time.Hour, false},
		{"the CA is away", errors.New("connection refused"), true, 14 * day, false},
		{"the CA is away for good", errors.New("connection refused"), true, 16 * day, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			keep(t, func(k *keeper) {
				k.fail = tt.fail
				k.run(tt.endExpired)
				k.pass(month - time.Minute)
				if len(k.end) != 0 {
					t.Fatalf("ended before the certificate has expired: %v", <-k.end)
				}
				k.pass(tt.after)
				if (len(k.end) == 1) != tt.ended {
					t.Fatalf("ended %t, want %t", len(k.end) == 1, tt.ended)
				}
				if tt.ended {
					err := <-k.end
					if expired, ok := errors.AsType[*enroll.ExpiredError](err); !ok || expired.Identity.Party != "shop1" || !errors.Is(err, tt.fail) {
						t.Errorf("got %v, want *enroll.ExpiredError of shop1 with its cause", err)
					}
					k.end <- nil
					return
				}
				save(t, k.issue("shop1", testca.Key(t)), k.dir) // enrolled again, by hand
				k.fail = nil
				k.pass(2 * time.Hour)
				asked := len(k.asked)
				if k.pass(day); len(k.asked) != asked {
					t.Error("the CA is asked although there is a new certificate")
				}
			})
		})
	}
}
