package controlplane_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/coveymq/covey/controlplane"
	"github.com/coveymq/covey/internal/errs"
	"github.com/coveymq/covey/internal/testetcd"
	"github.com/coveymq/covey/internal/testpostgres"
	apiv1 "github.com/coveymq/covey/proto/covey/api/v1"
)

// joining makes the data directory of another control plane of an installation.
func joining(t *testing.T, first string) string {
	t.Helper()
	dir := t.TempDir()
	key, err := os.ReadFile(filepath.Join(first, "custody.key"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "custody.key"), key, 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestASecondLedgerInSQLiteIsRefused(t *testing.T) {
	c := testetcd.NewCluster(t, 1, testetcd.Options{})
	first := t.TempDir()
	start(t, first, onCluster(c))
	cfg := config(joining(t, first), &logBuffer{})
	onCluster(c)(&cfg)
	_, err := controlplane.New(t.Context(), cfg)
	var e *errs.Error
	if !errors.As(err, &e) || e.Reason != "LEDGER_OTHER" || !strings.Contains(e.Public(), "use Postgres") {
		t.Errorf("a second control plane with SQLite: %v", err)
	}
}

func onPostgres(url string) func(*controlplane.Config) {
	return func(cfg *controlplane.Config) { cfg.LedgerURL = controlplane.NewSecret(url) }
}

// Two control planes take calls in turn while one of them is stopped and comes
// back; what was acknowledged is there.
func TestTwoControlPlanesAreOne(t *testing.T) {
	postgres := testpostgres.Start(t)
	c := testetcd.NewCluster(t, 3, testetcd.Options{})
	url := postgres.Database(t)
	dirs := []string{t.TempDir(), ""}
	planes := make([]*plane, 2)
	planes[0] = start(t, dirs[0], onCluster(c), onPostgres(url))
	dirs[1] = joining(t, dirs[0])
	planes[1] = start(t, dirs[1], onCluster(c), onPostgres(url))
	planes[1].key = planes[0].key
	up, _ := planes[0].signUp(t, "acme")
	const accounts = 24
	// made tries at one control plane after the other, under one request id.
	create := func(i int) {
		req := &apiv1.CreateAccountRequest{Parent: "organizations/acme", AccountId: fmt.Sprintf("a%d", i), RequestId: fmt.Sprintf("request-%d", i)}
		var err error
		for try := range 50 {
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			_, err = planes[(i+try)%2].as(t, up.GetApiKey()).accounts.CreateAccount(ctx, req)
			cancel()
			if err == nil {
				return
			}
		}
		t.Errorf("account %d: %v", i, err)
	}
	var wg sync.WaitGroup
	for w := range 3 {
		wg.Go(func() {
			for i := w; i < accounts; i += 3 {
				create(i)
			}
		})
	}
	planes[0].stop()
	wg.Wait()
	again := start(t, dirs[0], onCluster(c), onPostgres(url))
	for name, p := range map[string]*plane{"stayed": planes[1], "came back": again} {
		list := must[*apiv1.ListAccountsResponse](t, name)(p.as(t, up.GetApiKey()).accounts.ListAccounts(t.Context(), &apiv1.ListAccountsRequest{Parent: "organizations/acme", PageSize: 100}))
		if len(list.GetAccounts()) != accounts+1 {
			t.Errorf("%s: %d accounts, want %d", name, len(list.GetAccounts()), accounts+1)
		}
		ops := must[*apiv1.ListOperationsResponse](t, name)(p.as(t, up.GetApiKey()).operations.ListOperations(t.Context(), &apiv1.ListOperationsRequest{Parent: "organizations/acme", PageSize: 100}))
		if len(ops.GetOperations()) != accounts+1 {
			t.Errorf("%s: %d operations, want %d", name, len(ops.GetOperations()), accounts+1)
		}
	}
	// Whoever is elected now moves the audit log.
	etcd := c.Client(t)
	deadline := time.Now().Add(time.Minute)
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		r, err := etcd.Get(t.Context(), "/covey/v1/audit/", clientv3.WithPrefix(), clientv3.WithCountOnly())
		if err == nil && r.Count == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("audit entries stay in etcd: %v, %v", r, err)
		}
		<-tick.C
	}
}
