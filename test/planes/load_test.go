package planes_test

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/coveymq/covey/internal/lifecycle"
	"github.com/coveymq/covey/internal/testetcd"
	"github.com/coveymq/covey/internal/testpostgres"
	apiv1 "github.com/coveymq/covey/proto/covey/api/v1"
)

var (
	accounts = flag.Int("accounts", 0, "accounts to make under each condition; 0 is a short test")
	results  = flag.String("results", "", "file of the figures, as JSON")
)

const (
	planeCount   = 3
	brokerCount  = 20
	callerCount  = 16
	shortLoad    = 300
	callTimeout  = 30 * time.Second
	killEvery    = 10 * time.Second
	killSoon     = 500 * time.Millisecond // in the short test
	acksWithin   = 30 * time.Second
	secondFigure = float64(time.Second)
)

// Row is the figures under one condition.
type Row struct {
	Name     string  `json:"name"`
	Title    string  `json:"title"`
	Accounts int     `json:"accounts"`
	Rate     float64 `json:"accounts_per_second"`
	Write    Times   `json:"write"`
	Read     Times   `json:"read"`
	Ack      Times   `json:"write_to_last_acknowledgement"`
	Kills    int     `json:"kills"`
	Retries  int64   `json:"retries"`
	// Memory is what the largest of the control planes has in use at the end, in
	// megabytes; etcd and the ledger are processes of their own.
	Memory float64 `json:"memory_mb"`
}

// tenant is an organization whose owner calls any of the control planes.
type tenant struct {
	org   string
	key   string
	conns []*grpc.ClientConn
	next  int
	tries *atomic.Int64 // that failed
}

// call makes one call, at the next control plane where one is away: the same
// call, by its request id.
func (c *tenant) call(ctx context.Context, do func(context.Context, apiv1.AccountServiceClient) error) error {
	ctx, cancel := context.WithTimeout(metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+c.key), callTimeout)
	defer cancel()
	backoff := lifecycle.Backoff{Min: 5 * time.Millisecond, Max: 200 * time.Millisecond}
	for {
		err := do(ctx, apiv1.NewAccountServiceClient(c.conns[c.next%len(c.conns)]))
		if code := status.Code(err); code != codes.Unavailable && code != codes.Aborted {
			return err
		}
		c.tries.Add(1)
		c.next++
		if backoff.Wait(ctx) != nil {
			return err
		}
	}
}

// load is the whole installation under load.
type load struct {
	t       *testing.T
	planes  []*plane
	tenants []*tenant
	acks    *acks
	made    []atomic.Int64 // accounts by tenant
	tries   atomic.Int64
}

func newLoad(t *testing.T) *load {
	t.Helper()
	postgres := testpostgres.Start(t)
	etcd := testetcd.NewCluster(t, 3, testetcd.Options{Fsync: *accounts > 0, QuotaBytes: 8 << 30})
	l := &load{t: t, planes: startPlanes(t, planeCount, planeSpec{
		Endpoints: etcd.Endpoints(), LedgerURL: postgres.Database(t), Tokens: brokerCount,
	})}
	l.acks = watchAcks(t, etcd.Client(t), brokerCount)
	startBrokers(t, l.planes)
	var conns []*grpc.ClientConn
	for _, p := range l.planes {
		conn, err := grpc.NewClient(p.API, grpc.WithTransportCredentials(insecure.NewCredentials()))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		conns = append(conns, conn)
	}
	staff := metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer "+l.planes[0].Key)
	for i := range callerCount {
		org := fmt.Sprint("org", i)
		r, err := apiv1.NewOrganizationServiceClient(conns[0]).SignUp(staff, &apiv1.SignUpRequest{OrganizationId: org, ContactEmail: org + "@example.com"})
		if err != nil {
			t.Fatal(err)
		}
		l.tenants = append(l.tenants, &tenant{org: "organizations/" + org, key: r.GetApiKey(), conns: conns, next: i, tries: &l.tries})
	}
	l.made = make([]atomic.Int64, callerCount)
	return l
}

// run makes n accounts and reads each of them, and returns what that took.
func (l *load) run(name, title string, n int) Row {
	l.t.Helper()
	l.acks.reset()
	l.tries.Store(0)
	var writes, reads timer
	var next atomic.Int64
	var all sync.WaitGroup
	began := time.Now()
	for i, c := range l.tenants {
		all.Go(func() {
			for next.Add(1) <= int64(n) {
				id := fmt.Sprint("a", l.made[i].Add(1))
				if !l.one(c, id, &writes, &reads) {
					return
				}
			}
		})
	}
	all.Wait()
	took := time.Since(began)
	await(l.t, "all acknowledged", func() bool { return l.acks.open() == 0 })
	return Row{
		Name: name, Title: title, Accounts: n, Rate: float64(n) * secondFigure / float64(took),
		Write: writes.times(), Read: reads.times(), Ack: l.acks.times(), Retries: l.tries.Load(), Memory: l.memory(),
	}
}

// memory is that of the largest control plane.
func (l *load) memory() (most float64) {
	l.t.Helper()
	for _, p := range l.planes {
		mb, err := p.memory()
		if err != nil {
			l.t.Error(err)
		}
		most = max(most, mb)
	}
	return most
}

func (l *load) one(c *tenant, id string, writes, reads *timer) bool {
	ctx := l.t.Context()
	began := time.Now()
	err := c.call(ctx, func(ctx context.Context, api apiv1.AccountServiceClient) error {
		r, err := api.CreateAccount(ctx, &apiv1.CreateAccountRequest{Parent: c.org, AccountId: id, RequestId: "make-" + id})
		if err == nil {
			l.acks.wrote(r.GetOperation().GetRevision(), began)
		}
		return err
	})
	if err != nil {
		l.t.Errorf("make %s/%s: %v", c.org, id, err)
		return false
	}
	writes.add(time.Since(began))
	began = time.Now()
	err = c.call(ctx, func(ctx context.Context, api apiv1.AccountServiceClient) error {
		_, err := api.GetAccount(ctx, &apiv1.GetAccountRequest{Name: c.org + "/accounts/" + id})
		return err
	})
	if err != nil {
		l.t.Errorf("read %s/%s, whose making was acknowledged: %v", c.org, id, err)
		return false
	}
	reads.add(time.Since(began))
	return true
}

// killing kills one control plane after the other and starts it again, until the
// work is done.
func (l *load) killing(every time.Duration, work func()) (kills int) {
	l.t.Helper()
	ctx, done := context.WithCancel(l.t.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		tick := time.NewTicker(every)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			p := l.planes[kills%len(l.planes)]
			p.kill()
			if err := p.up(); err != nil {
				l.t.Error(err)
				return
			}
			kills++
		}
	})
	work()
	done()
	wg.Wait()
	return kills
}

// check counts the accounts: all that were made are there.
func (l *load) check() {
	l.t.Helper()
	for i, c := range l.tenants {
		found, token := int64(0), ""
		for {
			var r *apiv1.ListAccountsResponse
			err := c.call(l.t.Context(), func(ctx context.Context, api apiv1.AccountServiceClient) (err error) {
				r, err = api.ListAccounts(ctx, &apiv1.ListAccountsRequest{Parent: c.org, PageSize: 1000, PageToken: token})
				return err
			})
			if err != nil {
				l.t.Fatal(err)
			}
			found += int64(len(r.GetAccounts()))
			if token = r.GetNextPageToken(); token == "" {
				break
			}
		}
		if want := l.made[i].Load() + 1; found != want { // one came with the organization
			l.t.Errorf("%s has %d accounts, want %d", c.org, found, want)
		}
	}
}

func await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(acksWithin)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		if time.Now().After(deadline) {
			t.Errorf("not within %s: %s", acksWithin, what)
			return
		}
		<-tick.C
	}
}

// Every account whose making was acknowledged is there, read by any control
// plane at once, and every broker acknowledges it, while control planes are
// killed.
func TestLoad(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes real processes")
	}
	n, every := *accounts, killEvery
	if n == 0 {
		n, every = shortLoad, killSoon
	}
	l := newLoad(t)
	rows := []Row{l.run("three", "three control planes, 20 brokers", n)}
	var killed Row
	kills := l.killing(every, func() { killed = l.run("killed", "the same, one of the three killed every 10 s", n) })
	killed.Kills = kills
	rows = append(rows, killed)
	l.check()
	text, err := json.MarshalIndent(rows, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%s", text)
	if *results == "" {
		return
	}
	if err := os.WriteFile(*results, append(text, '\n'), 0o600); err != nil {
		t.Fatal(err)
	}
}
