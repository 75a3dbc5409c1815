package fleet_test

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"go.uber.org/goleak"

	"github.com/coveymq/covey/controlplane/fleettest"
	"github.com/coveymq/covey/dataplane/internal/fleet"
	"github.com/coveymq/covey/internal/testleak"
)

func TestMain(m *testing.M) {
	testleak.Main(m,
		// Libraries that start a goroutine for the life of the process.
		goleak.IgnoreTopFunction("github.com/golang/glog.(*fileSink).flushDaemon"),
		goleak.IgnoreAnyFunction("gopkg.in/natefinch/lumberjack%2ev2.(*Logger).millRun"),
	)
}

// sink is a broker that remembers what it was told.
type sink struct {
	mu       sync.Mutex
	accounts map[string]int64 // revision in force; -1 if deleted
	applies  int
	operator string
	offline  int
	resting  string        // why
	broken   error         // what ApplyAccount returns
	gate     chan struct{} // if set, ApplyAccount waits for it
}

var errBroken = errors.New("broken")

func (s *sink) SetOperator(text string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.operator = text
	return nil
}

func (s *sink) ApplyAccount(account, _ string, revision int64) error {
	s.mu.Lock()
	gate := s.gate
	s.mu.Unlock()
	if gate != nil {
		<-gate
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.broken != nil {
		return s.broken
	}
	s.accounts[account] = revision
	s.applies++
	return nil
}

func (s *sink) DeleteAccount(account string, _ int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.accounts[account] = -1
}

func (s *sink) Offline(time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.offline++
}

func (s *sink) Connections(string, []string, []string) int64 { return 0 }

func (s *sink) Withdraw(why string) { s.set(func() { s.resting = why }) }
func (s *sink) Resume()             { s.set(func() { s.resting = "" }) }

func (s *sink) why() (why string) {
	s.set(func() { why = s.resting })
	return why
}

func (s *sink) revision(account string) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.accounts[account]
}

func (s *sink) isOffline() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.offline > 0
}

// install is what a broker does with what Lookup returned: never go back.
func (s *sink) install(account string, revision int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.accounts[account] = max(s.accounts[account], revision)
}

func (s *sink) set(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
}

// broker is a Client that runs, with its sink.
type broker struct {
	*fleet.Client
	sink *sink
	cfg  fleet.Config

	t      *testing.T
	cancel context.CancelFunc
	wg     sync.WaitGroup
}

func config(t *testing.T, cp *fleettest.ControlPlane, dir string) fleet.Config {
	return fleet.Config{
		ControlPlaneAddr: cp.Addr, ServerName: "b1", Version: "test",
		IncarnationID: uuid.Must(uuid.NewV7()).String(), OperatorPublicKey: cp.OperatorKey(),
		StateDir: dir, Logger: slog.New(slog.NewTextHandler(t.Output(), nil)),
	}
}

// restarted is the configuration of the next process.
func restarted(cfg fleet.Config) fleet.Config {
	cfg.IncarnationID = uuid.Must(uuid.NewV7()).String()
	return cfg
}

// join enrols a new broker and waits until it attends.
func join(t *testing.T, cp *fleettest.ControlPlane) *broker {
	t.Helper()
	cfg := config(t, cp, t.TempDir())
	cfg.JoinToken = fleet.JoinToken(cp.JoinToken())
	b := start(t, cfg)
	b.awaitLease(cp)
	return b
}

func (b *broker) awaitLease(cp *fleettest.ControlPlane) {
	b.t.Helper()
	fleettest.Await(b.t, "broker attends and acknowledges", func() bool {
		p := cp.Progress(1)
		i := indexOf(p, b.BrokerID())
		return i >= 0 && p[i].Leased && p[i].Acknowledged && p[i].IncarnationID == b.cfg.IncarnationID
	})
}

func indexOf(p []fleettest.Progress, id string) int {
	for i := range p {
		if p[i].ID == id {
			return i
		}
	}
	return -1
}

func start(t *testing.T, cfg fleet.Config) *broker {
	t.Helper()
	client, err := fleet.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	b := &broker{Client: client, sink: &sink{accounts: make(map[string]int64)}, cfg: cfg, t: t}
	ctx, cancel := context.WithCancel(context.Background())
	b.cancel = cancel
	b.wg.Go(func() {
		if err := client.Run(ctx, b.sink); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(b.stop)
	return b
}

// stop ends the process of the broker, so to speak. It may be called twice.
func (b *broker) stop() {
	b.cancel()
	b.wg.Wait()
	if err := b.Close(); err != nil && b.t.Context().Err() == nil {
		b.t.Error(err)
	}
}

// load does what a broker does for the first client of an account.
func (b *broker) load(account string) (string, int64) {
	b.t.Helper()
	text, revision, err := b.Lookup(b.t.Context(), account)
	if err != nil {
		b.t.Fatal(err)
	}
	b.sink.set(func() { b.sink.accounts[account] = revision })
	b.Hold(account)
	return text, revision
}

func awaitEnforced(t *testing.T, cp *fleettest.ControlPlane, revision int64) {
	t.Helper()
	fleettest.Await(t, "revision is enforced", func() bool {
		enforced, _ := fleettest.Summarise(cp.Progress(revision), time.Now())
		return enforced
	})
}

func isEnforced(cp *fleettest.ControlPlane, revision int64) (enforced, done bool) {
	return fleettest.Summarise(cp.Progress(revision), time.Now())
}
