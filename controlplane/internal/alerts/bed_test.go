package alerts

import (
	"context"
	"crypto/hmac"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coveymq/covey/accounts"
	"github.com/coveymq/covey/billing"
	"github.com/coveymq/covey/controlplane/internal/custody"
	"github.com/coveymq/covey/controlplane/internal/outward"
	"github.com/coveymq/covey/controlplane/internal/store"
	"github.com/coveymq/covey/controlplane/internal/tenancy"
	"github.com/coveymq/covey/internal/testetcd"
	"github.com/coveymq/covey/internal/testleak"
)

func TestMain(m *testing.M) { testleak.Main(m) }

const hookSecret = "a secret of sixteen"

// world is what an engine looks at. Every account used the same.
type world struct {
	mu          sync.Mutex
	data        int64
	connections int64
	missing     int
	failing     error
}

func (w *world) set(f func(*world)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	f(w)
}

func (w *world) Usage(_ context.Context, keys []string, _, to time.Time) ([]billing.AccountUsage, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	out := make([]billing.AccountUsage, len(keys))
	for i, key := range keys {
		out[i] = billing.AccountUsage{Account: key}
		if time.Since(to) < 26*time.Hour { // of the days before there is nothing
			out[i].PublishedBytes, out[i].DeliveredBytes = w.data/2, w.data-w.data/2
		}
	}
	return out, w.failing
}

func (w *world) ReportedSince(context.Context, time.Time) ([]string, error) {
	return []string{"KA", "KB"}, nil
}

func (w *world) CountAccounts(_ context.Context, keys []string) (map[string]int64, int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	out := map[string]int64{}
	for _, key := range keys {
		out[key] = w.connections
	}
	return out, w.missing, w.failing
}

// receiver is where notifications are posted.
type receiver struct {
	*httptest.Server
	mu     sync.Mutex
	posts  map[string][]string // bodies by id
	order  []string
	answer int
	on     func() // called when one has come
}

func newReceiver(t *testing.T) *receiver {
	t.Helper()
	r := &receiver{posts: map[string][]string{}, answer: http.StatusNoContent}
	r.Server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, _ := io.ReadAll(req.Body)
		stamp, _, _ := strings.Cut(strings.TrimPrefix(req.Header.Get(outward.SignatureHeader), "t="), ",")
		seconds, err := time.ParseDuration(stamp + "s")
		if want := outward.Sign([]byte(hookSecret), time.Unix(0, 0).Add(seconds), body); err != nil || !hmac.Equal([]byte(want), []byte(req.Header.Get(outward.SignatureHeader))) {
			t.Errorf("the signature is %q, %v", req.Header.Get(outward.SignatureHeader), err)
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		id := req.Header.Get(outward.IDHeader)
		r.posts[id] = append(r.posts[id], string(body))
		r.order = append(r.order, id)
		if r.on != nil {
			r.on()
		}
		w.WriteHeader(r.answer)
	}))
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) answers(status int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.answer = status
}

func (r *receiver) got() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]string(nil), r.order...)
}

type bed struct {
	*world
	store    *store.Store
	tenancy  *tenancy.Service
	custody  *custody.Custody
	receiver *receiver
	hook     *tenancy.AlertHook
}

func newBed(t *testing.T) *bed {
	t.Helper()
	etcd := testetcd.New(t)
	quiet := slog.New(slog.DiscardHandler)
	b := &bed{world: &world{}, store: store.New(etcd, etcd, quiet), receiver: newReceiver(t)}
	keeper, err := custody.OpenLocal(filepath.Join(t.TempDir(), "key"), true)
	if err != nil {
		t.Fatal(err)
	}
	b.custody = custody.New(keeper)
	t.Cleanup(func() { _ = b.custody.Close() })
	b.tenancy = tenancy.New(b.custody, nil, quiet)
	b.hook = &tenancy.AlertHook{URL: b.receiver.URL, Secret: hookSecret}
	hundred := int64(100)
	b.change(t, func(ctx context.Context, tx *store.Tx) error {
		err := tx.CreateOrg(ctx, store.Organization{ID: "acme"})
		if err == nil {
			err = tx.PutTerms(ctx, store.OrgTerms{Plan: "default", Generation: 1})
		}
		for _, id := range []string{"a", "b"} {
			if err == nil {
				limits := accounts.Limits{DataBytes: &hundred, Connections: &hundred}
				err = tx.CreateAccount(ctx, store.Account{ID: id, UID: "acc_" + id, PublicKey: "K" + strings.ToUpper(id), Limits: limits})
			}
		}
		return err
	})
	return b
}

func (b *bed) change(t *testing.T, f func(ctx context.Context, tx *store.Tx) error) {
	t.Helper()
	c := store.Change{Scope: store.Everything(), Organization: "acme", Actor: "test", Method: "Test", Target: "test"}
	_, _, err := store.Update(t.Context(), b.store, c, func(ctx context.Context, tx *store.Tx) (struct{}, store.Outcome, error) {
		return struct{}{}, store.Outcome{}, f(ctx, tx)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// policy makes a policy.
func (b *bed) policy(t *testing.T, id, metric, account string, rule accounts.AlertRule) {
	t.Helper()
	b.change(t, func(ctx context.Context, tx *store.Tx) error {
		_, err := b.tenancy.CreateAlertPolicy(ctx, tx, id, metric, account, tenancy.AlertPolicyFields{Rule: rule, Hook: b.hook})
		return err
	})
}

// engine is what a control plane runs that leads.
func (b *bed) engine() *Engine {
	return New(Config{
		Store: b.store, Tenancy: b.tenancy, Custody: b.custody, Ledger: b.world, Counter: b.world, Client: b.receiver.Client(),
		Logger: slog.New(slog.DiscardHandler),
	})
}

func (b *bed) turn(t *testing.T, e *Engine, now time.Time) {
	t.Helper()
	if err := e.Turn(t.Context(), now); err != nil {
		t.Fatal(err)
	}
}

// deliver tells receivers once, and waits for that.
func (b *bed) deliver(t *testing.T, e *Engine) {
	t.Helper()
	var wg sync.WaitGroup
	err := e.dispatch(t.Context(), &wg)
	wg.Wait()
	if err != nil {
		t.Fatal(err)
	}
}

func (b *bed) alerts(t *testing.T) []store.Alert {
	t.Helper()
	v, err := b.store.View(store.Everything(), "acme")
	if err != nil {
		t.Fatal(err)
	}
	list, _, err := v.Alerts(t.Context(), store.Page{Size: 1000})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// states tells alerts, oldest first, as "account percent state reason".
func (b *bed) states(t *testing.T) string {
	t.Helper()
	var all []string
	list := b.alerts(t)
	for i := range list {
		a := list[len(list)-1-i]
		text, err := json.Marshal([]any{a.Account, a.Threshold, a.State, a.CloseReason})
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, string(text))
	}
	return strings.Join(all, "\n")
}

func (b *bed) count(t *testing.T, state string) (n int) {
	t.Helper()
	for _, a := range b.alerts(t) {
		if a.State == state {
			n++
		}
	}
	return n
}
