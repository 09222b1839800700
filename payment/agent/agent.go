package agent

import (
	"context"
	"crypto/ecdh"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/payca/payca/ca/audit"
	"github.com/payca/payca/ca/boltlog"
	"github.com/payca/payca/enroll"
	"github.com/payca/payca/enroll/mtls"
	"github.com/payca/payca/ocsp/feed"
	"github.com/payca/payca/payment"
	"github.com/payca/payca/policy"
)

// Keys holds the keys for a party's encryption certificates: *enroll.Encryption is one.
type Keys interface {
	// Key returns the key for the certificate with that thumbprint, false if there is none.
	Key(thumbprint string) (*ecdh.PrivateKey, bool)
}

// A Directory finds certificates. Its methods return the certificate and its issuer's, unverified; an error that
// wraps fs.ErrNotExist says that there is none.
type Directory interface {
	// Certificate finds one by its thumbprint.
	Certificate(ctx context.Context, thumbprint string) ([]*x509.Certificate, error)
	// Encryption finds the newest encryption certificate of a party.
	Encryption(ctx context.Context, party string) ([]*x509.Certificate, error)
}

// A Peer is another agent.
type Peer struct {
	URI     string // its identity
	URL     string // https://HOST[:PORT], with a name that its certificate has
	Address string // HOST:PORT to connect to instead, "" for that of URL
}

// Config says whose agent it is.
type Config struct {
	Dir    string         // holds store, log key and control socket; made with mode 0700
	Source *enroll.Source // the signing certificate
	Keys   Keys           // nil for a party to whom nothing is sealed
	Status mtls.StatusChecker
	// Enquiry, if not nil, is asked in the place of Status about who only reads: it may soft-fail.
	Enquiry   mtls.StatusChecker
	Directory Directory
	// Feed, if not nil, tells of revocations as they happen. The agent announces how far it has read, reads what others
	// announce before it acts on their messages, and does nothing for anybody while it has no checkpoint that holds.
	Feed  *feed.Client
	Peers []Peer
	// Access says who may call what, each entry in the place of that for the same role in [DefaultAccess].
	Access  []policy.Access
	Timeout time.Duration    // of one call to a peer; 0 for 5 s
	Now     func() time.Time // nil for time.Now
	Logger  *slog.Logger     // nil for none
	// Fail, if not nil, is called at named points; tests stop the process there. Beside those that the roles name,
	// "gateway.authorised" and so on, every agent has ROLE.committed after each commit, ROLE.sending.OPERATION before and
	// ROLE.sent.OPERATION after each call of a peer, and ROLE.answering.OPERATION before each reply.
	Fail func(point string)
	// Serving and Calling, if not nil, stand before the agent's endpoints and its calls. Tests record there what passes.
	Serving func(http.Handler) http.Handler
	Calling func(http.RoundTripper) http.RoundTripper
	// NoSync leaves commits to the operating system. For measuring alone.
	NoSync bool
	// BeforeCommit is as in boltlog.Config. For tests.
	BeforeCommit func() error
}

// An Agent is one party at work. It is safe for concurrent use.
type Agent struct {
	cfg        Config
	self       policy.Identity
	uri        string
	db         *boltlog.DB
	logKey     string // verifies heads
	identifier *mtls.Identifier
	certs      *certificates
	routes     []route
	endpoints  *policy.Endpoints
	control    *http.ServeMux
	calls      *caller
	inFlight   sync.Map // idempotency key -> struct{}
	jobs       *jobs
	bells      bells
	counters   counters
	later      later
	decoded    decoded
}

// defaultTimeout is how long a peer may take (T1 of the state machine).
const defaultTimeout = 5 * time.Second

// New opens the agent's store, or makes it, and checks its log. *boltlog.LockedError if another process has it.
func New(cfg Config) (*Agent, error) {
	if cfg.Dir == "" || cfg.Source == nil || cfg.Status == nil || cfg.Directory == nil {
		return nil, errors.New("new agent: want Dir, Source, Status and Directory")
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = defaultTimeout
	}
	endpoints, err := compileAccess(cfg.Source.Identity().Role, cfg.Access)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, err
	}
	a := &Agent{cfg: cfg, self: cfg.Source.Identity(), endpoints: endpoints, control: http.NewServeMux()}
	a.uri = a.self.String()
	a.identifier = mtls.NewIdentifier(cfg.Source.Trust(), cfg.Now)
	a.certs = newCertificates(a)
	if err := a.openStore(); err != nil {
		return nil, err
	}
	a.jobs = newJobs(a)
	a.later.flush = a.flushed
	if a.calls, err = newCaller(a); err != nil {
		return nil, errors.Join(err, a.db.Close())
	}
	a.common()
	return a, nil
}

// StoreFile is the name of the store in the agent's directory.
const StoreFile = "agent.db"

func (a *Agent) openStore() error {
	key, err := logKey(filepath.Join(a.cfg.Dir, "log.key"))
	if err != nil {
		return err
	}
	log, err := audit.New(audit.Config{Origin: a.self.Network + "/" + string(a.self.Role) + "/" + a.self.Party, Signer: key})
	if err != nil {
		return err
	}
	a.logKey = log.VerifierKey()
	a.db, err = boltlog.Open(boltlog.Config{
		Path: filepath.Join(a.cfg.Dir, StoreFile), Schema: schema, Buckets: buckets, Log: log, Upgrade: upgrade,
		BeforeCommit: a.cfg.BeforeCommit, NoSync: a.cfg.NoSync,
	})
	if err != nil {
		return err
	}
	if err = a.db.Check(nil); err == nil {
		err = a.prepare()
	}
	if err != nil {
		return errors.Join(err, a.db.Close())
	}
	return nil
}

// logKey reads the key that signs the heads of the log, and makes it (mode 0600) if there is none.
func logKey(path string) (ed25519.PrivateKey, error) {
	raw, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		_, key, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			return nil, err
		}
		der, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			return nil, err
		}
		return key, os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600)
	}
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(raw)
	if block == nil {
		return nil, fmt.Errorf("log key %s holds no PEM block, want PRIVATE KEY", path)
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if signer, ok := key.(ed25519.PrivateKey); ok && err == nil {
		return signer, nil
	}
	return nil, errors.Join(fmt.Errorf("log key %s is %T, want Ed25519", path, key), err)
}

// Close waits for the writes under way and closes the store.
func (a *Agent) Close() error {
	a.calls.close()
	return errors.Join(a.flush(context.Background()), a.db.Close())
}

// Self returns who the agent is.
func (a *Agent) Self() policy.Identity { return a.self }

// URI returns the text of the agent's identity.
func (a *Agent) URI() string { return a.uri }

// Now returns the time the agent goes by.
func (a *Agent) Now() time.Time { return a.cfg.Now() }

// Logger returns where the agent logs.
func (a *Agent) Logger() *slog.Logger { return a.cfg.Logger }

// Timeout returns how long a peer may take.
func (a *Agent) Timeout() time.Duration { return a.cfg.Timeout }

// Dir returns the agent's directory.
func (a *Agent) Dir() string { return a.cfg.Dir }

// Log reads the agent's log, and LogKey verifies its heads.
func (a *Agent) Log() audit.Reader { return a.db.Log() }

// LogKey returns the key that the heads of the log verify with, as package note writes it.
func (a *Agent) LogKey() string { return a.logKey }

// Reached marks a point where a test may stop the process.
func (a *Agent) Reached(point string) {
	if a.cfg.Fail != nil {
		a.cfg.Fail(point)
	}
}

// reached marks a point that every agent has; key is that of an operation, or "".
func (a *Agent) reached(what, key string) {
	if a.cfg.Fail == nil {
		return
	}
	point := strings.ReplaceAll(string(a.self.Role), "-", "") + "." + what
	if parts := strings.Split(key, "/"); len(parts) > 1 {
		point += "." + parts[1]
	}
	a.cfg.Fail(point)
}

// Identity reads a party's identity URI; it must be of this network and, if there are any, in one of the roles.
func (a *Agent) Identity(uri string, roles ...policy.Role) (policy.Identity, error) {
	id, err := identityOf(uri, a.self.Network)
	if err != nil {
		return policy.Identity{}, payment.Refuse(payment.NotAddressedHere, "identity", fmt.Sprintf("%.80q", uri), "spiffe://ROLE."+a.self.Network+"/PARTY")
	}
	if len(roles) == 0 || slices.Contains(roles, id.Role) {
		return id, nil
	}
	return policy.Identity{}, payment.Refuse(payment.WrongRole, "identity", uri, "one with the role "+words(roles))
}

// Key returns the key for one of the agent's encryption certificates; *payment.Refusal with
// payment.BadRecipient if it has none.
func (a *Agent) Key(thumbprint string) (*ecdh.PrivateKey, error) {
	if a.cfg.Keys != nil {
		if key, ok := a.cfg.Keys.Key(thumbprint); ok {
			return key, nil
		}
	}
	return nil, payment.Refuse(payment.BadRecipient, "sealed object", "for the certificate "+thumbprint, "one of "+a.uri)
}
