package fleet

import (
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nkeys"

	fleetv1 "github.com/coveymq/covey/proto/covey/fleet/v1"
)

var errNotApplied = errors.New("not applied")

// refusing is a sink that can be told not to apply.
type refusing struct {
	err     error
	applied []int64
}

func (r *refusing) SetOperator(string) error                     { return nil }
func (r *refusing) DeleteAccount(string, int64)                  {}
func (r *refusing) Offline(time.Time)                            {}
func (r *refusing) Withdraw(string)                              {}
func (r *refusing) Connections(string, []string, []string) int64 { return 0 }
func (r *refusing) Resume()                                      {}

func (r *refusing) ApplyAccount(_, _ string, revision int64) error {
	if r.err == nil {
		r.applied = append(r.applied, revision)
	}
	return r.err
}

// bench is an applier without a control plane.
type bench struct {
	*applier
	sink     *refusing
	operator nkeys.KeyPair
	account  string
	t        *testing.T
}

func newBench(t *testing.T) *bench {
	t.Helper()
	operator, operatorKey := newPair(t, nkeys.CreateOperator)
	_, account := newPair(t, nkeys.CreateAccount)
	dir, log := t.TempDir(), slog.New(slog.DiscardHandler)
	kept, _, err := openCache(dir)
	if err != nil {
		t.Fatal(err)
	}
	c := &Client{
		log: log, cache: kept, trust: openTrust(operatorKey, dir, log),
		changed: make(chan struct{}), flights: make(map[string]*flight),
		accounts: map[string]*holding{account: {revision: 1, loaded: true}},
	}
	sink := &refusing{}
	return &bench{
		applier: &applier{c: c, sink: sink, out: newOutbox(), failed: make(map[string]claims)},
		sink:    sink, operator: operator, account: account, t: t,
	}
}

func (b *bench) claims(signer nkeys.KeyPair, revision int64) {
	b.t.Helper()
	b.handle(b.t.Context(), &fleetv1.AttendResponse{Message: &fleetv1.AttendResponse_AccountClaims{
		AccountClaims: &fleetv1.AccountClaims{
			AccountPublicKey: b.account, Revision: revision,
			Jwt: sign(b.t, jwt.NewAccountClaims(b.account), signer),
		},
	}})
}

func (b *bench) watermarked(revision int64) {
	b.t.Helper()
	b.handle(b.t.Context(), &fleetv1.AttendResponse{Message: &fleetv1.AttendResponse_Watermark{
		Watermark: &fleetv1.Watermark{Revision: revision},
	}})
}

func (b *bench) wantAck(when string, want int64) {
	b.t.Helper()
	if got := b.out.take().ack; got != want {
		b.t.Errorf("%s: acknowledged %d, want %d", when, got, want)
	}
}

func TestAcknowledgesOnlyWhatIsInForce(t *testing.T) {
	b := newBench(t)
	stranger, _ := newPair(t, nkeys.CreateOperator)
	b.claims(b.operator, 5)
	b.wantAck("before any watermark", 0)
	b.watermarked(5)
	b.wantAck("after applying", 5)

	b.sink.err = errNotApplied
	b.claims(b.operator, 6)
	b.watermarked(6)
	b.watermarked(7)
	b.wantAck("the sink fails", 0)
	b.retry(t.Context())
	b.wantAck("the sink still fails", 0)
	b.sink.err = nil
	b.retry(t.Context())
	b.wantAck("the sink works again", 7)

	b.claims(stranger, 8)
	b.watermarked(9)
	b.wantAck("claims of a stranger", 0)
	b.claims(b.operator, 10)
	b.wantAck("good claims in place of the stranger's", 9)
	if got, err := b.c.cache.load(b.account); err != nil || got.Revision != 10 {
		t.Errorf("cached revision %d, %v; want 10", got.Revision, err)
	}
}

func TestChangeWaitsForTheInstallation(t *testing.T) {
	b := newBench(t)
	b.c.accounts[b.account].installing = make(chan struct{})
	installed, done := make(chan struct{}), make(chan struct{})
	tick := time.AfterFunc(20*time.Millisecond, func() {
		close(installed)
		b.c.Hold(b.account)
		close(done)
	})
	defer tick.Stop()
	b.claims(b.operator, 5)
	select {
	case <-installed:
	default:
		t.Error("applied before what was looked up was installed")
	}
	<-done
	if len(b.sink.applied) != 1 || b.sink.applied[0] != 5 {
		t.Errorf("applied %v, want revision 5", b.sink.applied)
	}
}

func TestChangeThatOvertakesALookupReplacesItsAnswer(t *testing.T) {
	b := newBench(t)
	delete(b.c.accounts, b.account)
	f := &flight{done: make(chan struct{}), wanted: 1}
	b.c.flights[b.account] = f
	b.claims(b.operator, 6)
	old := claims{Revision: 5, JWT: "old"}
	if !b.c.landIf(b.account, f, old, nil, func() bool { return true }) {
		t.Fatal("the flight goes on")
	}
	if f.err != nil || f.got.Revision != 6 {
		t.Errorf("the lookup answers revision %d, %v; want 6", f.got.Revision, f.err)
	}
	// A deletion, likewise.
	f = &flight{done: make(chan struct{}), wanted: 1, newest: &claims{Revision: 9}}
	b.c.flights[b.account] = f
	if b.c.landIf(b.account, f, old, nil, func() bool { return true }); !errors.Is(f.err, ErrUnknownAccount) {
		t.Errorf("the lookup of an account deleted meanwhile answers %v, want ErrUnknownAccount", f.err)
	}
	// An answer of a session that is over counts for nothing.
	if b.c.landIf(b.account, f, old, nil, func() bool { return false }) {
		t.Error("an answer of an older session was taken")
	}
}
