package fleet

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/nats-io/nkeys"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"

	"github.com/coveymq/covey/internal/errs"
	fleetv1 "github.com/coveymq/covey/proto/covey/fleet/v1"
)

// Conditions that callers tell apart.
var (
	// ErrUnknownAccount is knowledge: there is no such account.
	ErrUnknownAccount = errs.New(errs.NotFound, "ACCOUNT_NOT_FOUND", "no such account")
	// ErrUnavailable says that it cannot be known now whether there is one.
	ErrUnavailable = errs.New(errs.Unavailable, "CONTROL_PLANE_UNAVAILABLE",
		"the control plane cannot be reached and the account is not in the cache")
)

// accountsMaxDefault bounds the cache; at 1 to 2 KB each it is below 128 MB.
const accountsMaxDefault = 1 << 16

// Config is what a Client needs.
type Config struct {
	// ControlPlaneAddr is host:port of the fleet listener, or of several with
	// commas between.
	ControlPlaneAddr string
	// JoinToken is needed until the broker has an identity in StateDir.
	JoinToken JoinToken
	// ServerName is the broker's name, for people.
	ServerName string
	Version    string
	// IncarnationID is new at each start of the process.
	IncarnationID string
	// OperatorPublicKey is the root of all trust in claims.
	OperatorPublicKey string
	// StateDir is made if need be; only one process may use it.
	StateDir string
	// AccountsMax bounds the cached accounts; 0 means 65536.
	AccountsMax int
	// Stats, if set, tells the numbers that heartbeats carry.
	Stats  func() (connections, accounts int64)
	Logger *slog.Logger
}

// Sink is the broker as the fleet sees it. One goroutine calls it.
type Sink interface {
	// SetOperator names the keys that may sign accounts. The JWT is verified.
	SetOperator(operatorJWT string) error
	// ApplyAccount puts verified claims in force and returns only when they are:
	// clients that they no longer allow are gone. It is called for accounts that
	// Lookup returned and that were not dropped since.
	ApplyAccount(accountKey, jwt string, revision int64) error
	// DeleteAccount ends an account; when it returns its clients are gone.
	DeleteAccount(accountKey string, revision int64)
	// Offline says that the control plane cannot be reached since then. Known
	// accounts may be served until Client.ServeUntil.
	Offline(since time.Time)
	// Withdraw says that the broker may not serve for now: it takes no new clients
	// and lets go of those it has. It does not wait for that. Why is for people.
	Withdraw(why string)
	// Connections says how many clients of an account are connected: those of the
	// users and those whose JWTs the keys signed, or all without either.
	Connections(accountKey string, users, issuers []string) int64
	// Resume says that it may serve again.
	Resume()
}

// Client is the broker's end of the fleet service.
type Client struct {
	// Immutable after Open.
	cfg      Config
	log      *slog.Logger
	identity *identityStore
	trust    *trust
	cache    *cache
	conn     *grpc.ClientConn
	rpc      fleetv1.FleetServiceClient
	root     context.Context //nolint:containedctx // cancels the client's own lookups at Close
	stop     context.CancelFunc
	flying   sync.WaitGroup // lookups

	mu        sync.Mutex
	closed    bool
	leaving   bool
	phase     phase
	sessions  uint64        // how many sessions there have been
	changed   chan struct{} // closed when phase changes
	out       *outbox       // of the session, while online
	wantsSeen bool          // that session's control plane wants to hear of credentials seen
	accounts  map[string]*holding
	flights   map[string]*flight
	contact   contact

	duty duty // owned by Run
}

// phase is what the client knows of the control plane.
type phase uint8

const (
	connecting phase = iota // not tried yet, or Hello is sent and not answered
	online                  // the session is up
	offline                 // the last try failed
)

// holding is one account that the control plane tells us of.
type holding struct {
	revision int64
	loaded   bool // the broker serves it; else it is only in the cache
	used     time.Time
	// installing is closed when the broker has installed, or given up, what
	// Lookup returned; nil if nothing is on its way.
	installing chan struct{}
}

// Open loads the broker's identity and cache from cfg.StateDir. Without an
// identity it enrols, trying until ctx ends while the control plane is away.
func Open(ctx context.Context, cfg Config) (*Client, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(cfg.StateDir, 0o700); err != nil {
		return nil, fmt.Errorf("make state directory: %w", err)
	}
	identity, err := openIdentity(ctx, cfg)
	if err != nil {
		return nil, err
	}
	cached, revisions, err := openCache(cfg.StateDir)
	if err != nil {
		return nil, err
	}
	c := &Client{
		cfg: cfg, log: cfg.Logger, identity: identity, cache: cached,
		trust:    openTrust(cfg.OperatorPublicKey, cfg.StateDir, cfg.Logger),
		changed:  make(chan struct{}),
		accounts: make(map[string]*holding, len(revisions)),
		flights:  make(map[string]*flight),
		contact:  readContact(cfg.StateDir),
	}
	for account, revision := range revisions {
		c.accounts[account] = &holding{revision: revision}
	}
	c.conn, err = dial(cfg.ControlPlaneAddr, credentials.NewTLS(c.clientTLS(serverName)),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 10 * time.Second, Timeout: 5 * time.Second}),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: 100 * time.Millisecond, Multiplier: 2, Jitter: 0.3, MaxDelay: reconnectMax},
			MinConnectTimeout: welcomeTimeout,
		}))
	if err != nil {
		return nil, err
	}
	c.rpc = fleetv1.NewFleetServiceClient(c.conn)
	c.root, c.stop = context.WithCancel(context.Background())
	return c, nil
}

func (cfg *Config) check() error {
	if cfg.AccountsMax <= 0 {
		cfg.AccountsMax = accountsMaxDefault
	}
	var problems []error
	for name, value := range map[string]string{
		"control plane address": cfg.ControlPlaneAddr, "server name": cfg.ServerName,
		"incarnation id": cfg.IncarnationID, "state directory": cfg.StateDir,
	} {
		if value == "" {
			problems = append(problems, fmt.Errorf("%s is missing", name))
		}
	}
	if !nkeys.IsValidPublicOperatorKey(cfg.OperatorPublicKey) {
		problems = append(problems, errors.New("operator public key is missing or malformed"))
	}
	if cfg.Logger == nil {
		problems = append(problems, errors.New("logger is missing"))
	}
	return errors.Join(problems...)
}

// BrokerID is the broker's identity in the fleet.
func (c *Client) BrokerID() string { return c.identity.brokerID() }

// ClientTLS is for where usage is reported: a control plane, or a collector with a
// certificate of the fleet. It always presents the newest certificate, and trusts
// what is trusted by then.
func (c *Client) ClientTLS() *tls.Config { return c.clientTLS(serverName, collectorName) }

func (c *Client) clientTLS(names ...string) *tls.Config {
	return &tls.Config{
		MinVersion:         tls.VersionTLS13,
		ServerName:         askFor(c.identity.trusts()[0]),
		InsecureSkipVerify: true, //nolint:gosec // VerifyConnection checks the whole chain against what is trusted now
		VerifyConnection:   c.verifyServer(names...),
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			return c.identity.certificate(), nil
		},
	}
}

// Close ends lookups and the connection. Call it after Run has returned.
func (c *Client) Close() error {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	c.stop()
	c.flying.Wait()
	if err := c.conn.Close(); err != nil {
		return fmt.Errorf("close control plane connection: %w", err)
	}
	return nil
}

// setPhaseLocked wakes everybody who waits for a change.
func (c *Client) setPhaseLocked(p phase) {
	c.phase = p
	close(c.changed)
	c.changed = make(chan struct{})
}
