package leader_test

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"github.com/coveymq/covey/controlplane/internal/leader"
	"github.com/coveymq/covey/internal/testetcd"
	"github.com/coveymq/covey/internal/testleak"
)

func TestMain(m *testing.M) {
	testetcd.Main()
	testleak.Main(m)
}

// candidate is one control plane that stands for election.
type candidate struct {
	leads chan string // its name, whenever it is elected
	stop  context.CancelFunc
	done  sync.WaitGroup
}

func stand(t *testing.T, etcd *clientv3.Client, name string, leads chan string) *candidate {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	c := &candidate{leads: leads, stop: cancel}
	cfg := leader.Config{Etcd: etcd, Key: "/covey/v1/sys/leader", Name: name, TTL: 2 * time.Second, Logger: slog.New(slog.DiscardHandler)}
	c.done.Go(func() {
		err := leader.Run(ctx, cfg, func(ctx context.Context) error {
			leads <- name
			<-ctx.Done()
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() { cancel(); c.done.Wait() })
	return c
}

func elected(t *testing.T, leads chan string) string {
	t.Helper()
	select {
	case name := <-leads:
		return name
	case <-time.After(time.Minute):
		t.Fatal("nobody is elected")
		return ""
	}
}

func TestOneLeadsAndTheNextTakesOver(t *testing.T) {
	etcd := testetcd.New(t)
	leads := make(chan string, 10)
	all := map[string]*candidate{}
	for _, name := range []string{"a", "b", "c"} {
		all[name] = stand(t, etcd, name, leads)
	}
	for range 3 {
		name := elected(t, leads)
		select {
		case other := <-leads:
			t.Fatalf("%s and %s lead", name, other)
		default:
		}
		all[name].stop()
		all[name].done.Wait()
	}
}

// A leader that etcd does not hear of loses the lead, and knows.
func TestALeaderThatIsCutOffStops(t *testing.T) {
	c := testetcd.NewCluster(t, 1, testetcd.Options{})
	leads := make(chan string, 10)
	direct, err := clientv3.New(clientv3.Config{Endpoints: c.Endpoints(), Logger: zap.NewNop()})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = direct.Close() }()
	stand(t, direct, "a", leads)
	elected(t, leads)
	got, err := direct.Get(t.Context(), "/covey/v1/sys/leader", clientv3.WithPrefix())
	if err != nil || len(got.Kvs) != 1 {
		t.Fatalf("%v, %v", got, err)
	}
	if _, err := direct.Revoke(t.Context(), clientv3.LeaseID(got.Kvs[0].Lease)); err != nil {
		t.Fatal(err)
	}
	if name := elected(t, leads); name != "a" { // it ended, stood again and won
		t.Errorf("elected %s", name)
	}
	c.Members[0].Kill(t)
	c.Members[0].Start(t)
	c.Await(t)
}

var errBroken = errors.New("broken")

func TestAnErrorOfTheWorkEndsIt(t *testing.T) {
	cfg := leader.Config{Etcd: testetcd.New(t), Key: "k", Logger: slog.New(slog.DiscardHandler)}
	if err := leader.Run(t.Context(), cfg, func(context.Context) error { return errBroken }); !errors.Is(err, errBroken) {
		t.Errorf("Run: %v", err)
	}
}
