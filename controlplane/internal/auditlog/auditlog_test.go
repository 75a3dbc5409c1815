package auditlog_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"
	logsv1 "go.opentelemetry.io/proto/otlp/collector/logs/v1"
	"google.golang.org/grpc"

	"github.com/coveymq/covey/billing/ledger"
	"github.com/coveymq/covey/controlplane/internal/audit"
	"github.com/coveymq/covey/controlplane/internal/auditlog"
	"github.com/coveymq/covey/controlplane/internal/store"
	"github.com/coveymq/covey/internal/testetcd"
	"github.com/coveymq/covey/internal/testleak"
)

func TestMain(m *testing.M) { testleak.Main(m) }

type bed struct {
	etcd   *clientv3.Client
	store  *store.Store
	ledger *ledger.Ledger
	log    *auditlog.Log
}

func newBed(t *testing.T, sinks ...auditlog.Sink) *bed {
	t.Helper()
	b := &bed{etcd: testetcd.New(t)}
	quiet := slog.New(slog.DiscardHandler)
	b.store = store.New(b.etcd, b.etcd, quiet)
	var err error
	if b.ledger, err = ledger.Open(t.Context(), filepath.Join(t.TempDir(), "ledger.db")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.ledger.Close() })
	b.log = auditlog.New(b.store, b.ledger, sinks, quiet)
	t.Cleanup(func() { _ = b.log.Close() })
	return b
}

// change makes n changes to an organization; the first makes it.
func (b *bed) change(t *testing.T, org string, n int) {
	t.Helper()
	for range n {
		c := store.Change{Scope: store.Everything(), Organization: org, Actor: "key_test", Method: "Test", Target: "organizations/" + org}
		_, _, err := store.Update(t.Context(), b.store, c, func(ctx context.Context, tx *store.Tx) (struct{}, store.Outcome, error) {
			if _, err := tx.Org(ctx); errors.Is(err, store.ErrNotFound) && org != "" {
				return struct{}{}, store.Outcome{}, tx.CreateOrg(ctx, store.Organization{ID: org})
			}
			return struct{}{}, store.Outcome{}, tx.PutAccount(store.Account{ID: "a"})
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

func (b *bed) view(t *testing.T, org string) *store.View {
	t.Helper()
	v, err := b.store.View(store.Everything(), org)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func (b *bed) verdicts(t *testing.T) map[string]auditlog.Verdict {
	t.Helper()
	all := map[string]auditlog.Verdict{}
	if err := b.log.VerifyAll(t.Context(), func(v auditlog.Verdict) error { all[v.Organization] = v; return nil }); err != nil {
		t.Fatal(err)
	}
	return all
}

func (b *bed) move(t *testing.T) {
	t.Helper()
	if err := b.log.Move(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestTheLogIsOneWhereverItIs(t *testing.T) {
	b := newBed(t)
	b.change(t, "acme", 3)
	b.change(t, "", 2)
	b.change(t, "globex", 1)
	for round := range 4 {
		for _, limit := range []int{1, 2, 100} {
			var all []audit.Entry
			for {
				after := int64(len(all))
				page, err := b.log.Entries(t.Context(), b.view(t, "acme"), after, limit)
				if err != nil || len(page) > limit {
					t.Fatalf("%d entries of %d, %v", len(page), limit, err)
				}
				if len(page) == 0 {
					break
				}
				all = append(all, page...)
			}
			if _, err := (audit.Head{}).Verify(all); err != nil || len(all) != 3+round {
				t.Errorf("round %d: %d entries, %v", round, len(all), err)
			}
		}
		for org, v := range b.verdicts(t) {
			if v.Problem != "" || v.Entries != v.Head || v.Entries == 0 {
				t.Errorf("round %d: %q: %+v", round, org, v)
			}
		}
		if round%2 == 0 {
			b.move(t)
		}
		b.change(t, "acme", 1)
	}
}

// What a year writes does not stay in etcd.
func TestAMovedLogLeavesNothingInEtcd(t *testing.T) {
	b := newBed(t)
	b.change(t, "acme", 1)
	count := func() int64 {
		r, err := b.etcd.Get(t.Context(), "/covey/v1/audit/", clientv3.WithPrefix(), clientv3.WithCountOnly())
		if err != nil {
			t.Fatal(err)
		}
		return r.Count
	}
	for range 3 {
		b.change(t, "acme", 400)
		if count() == 0 {
			t.Fatal("the entries are born elsewhere")
		}
		b.move(t)
		if n := count(); n != 0 {
			t.Errorf("%d entries stay in etcd", n)
		}
	}
	if v := b.verdicts(t)["acme"]; v.Problem != "" || v.Entries != 1201 {
		t.Errorf("%+v", v)
	}
}

// brokenLedger fails after it has kept what it got.
type brokenLedger struct{ *ledger.Ledger }

var errLost = errors.New("answer lost")

func (b brokenLedger) AppendAudit(ctx context.Context, lines []ledger.AuditLine) error {
	return errors.Join(errLost, b.Ledger.AppendAudit(ctx, lines))
}

func TestAMoveThatWasCutOffIsMadeAgain(t *testing.T) {
	b := newBed(t)
	b.change(t, "acme", 5)
	broken := auditlog.New(b.store, brokenLedger{b.ledger}, nil, slog.New(slog.DiscardHandler))
	if err := broken.Move(t.Context()); !errors.Is(err, errLost) {
		t.Fatal(err)
	}
	b.change(t, "acme", 2)
	if v := b.verdicts(t)["acme"]; v.Problem != "" || v.Entries != 7 {
		t.Errorf("between: %+v", v)
	}
	b.move(t)
	if v := b.verdicts(t)["acme"]; v.Problem != "" || v.Entries != 7 {
		t.Errorf("after: %+v", v)
	}
}

func TestTamperingIsFound(t *testing.T) {
	for name, tamper := range map[string]func(*testing.T, *bed){
		"an entry is changed": func(t *testing.T, b *bed) {
			b.ledgerExec(t, `UPDATE audit SET entry = replace(entry, 'key_test', 'key_evil') WHERE chain = 'acme' AND sequence = 2`)
		},
		"an entry is gone":   func(t *testing.T, b *bed) { b.ledgerExec(t, `DELETE FROM audit WHERE chain = 'acme' AND sequence = 2`) },
		"the end is cut off": func(t *testing.T, b *bed) { b.ledgerExec(t, `DELETE FROM audit WHERE chain = 'acme' AND sequence > 3`) },
		"everything is gone": func(t *testing.T, b *bed) { b.ledgerExec(t, `DELETE FROM audit WHERE chain = 'acme'`) },
		"an entry is not an entry": func(t *testing.T, b *bed) {
			b.ledgerExec(t, `UPDATE audit SET entry = '{' WHERE chain = 'acme' AND sequence = 4`)
		},
		"an organization is made up": func(t *testing.T, b *bed) {
			b.ledgerExec(t, `INSERT INTO audit_end (chain, sequence) VALUES ('acme2', 1)`)
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBed(t)
			b.change(t, "acme", 5)
			b.change(t, "globex", 2)
			b.move(t)
			tamper(t, b)
			problems := 0
			for org, v := range b.verdicts(t) {
				if v.Problem != "" {
					problems++
				}
				if org == "globex" && v.Problem != "" {
					t.Errorf("globex: %+v", v)
				}
			}
			if problems != 1 {
				t.Errorf("%d problems", problems)
			}
		})
	}
}

func (b *bed) ledgerExec(t *testing.T, statement string) {
	t.Helper()
	db := openSQLite(t, b.ledger.Name())
	if _, err := db.ExecContext(t.Context(), statement); err != nil {
		t.Fatal(err)
	}
}

// memory is a sink that fails every other time, after it took the records.
type memory struct {
	mu    sync.Mutex
	calls int
	got   map[string]audit.Entry
}

func (*memory) Name() string { return "memory" }

func (m *memory) Deliver(_ context.Context, records []auditlog.Record) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, r := range records {
		m.got[fmt.Sprint(r.Organization, "/", r.Sequence)] = r.Entry
	}
	m.calls++
	if m.calls%2 == 1 {
		return errLost
	}
	return nil
}

func TestSinksGetEverything(t *testing.T) {
	secret := []byte("shared")
	var mu sync.Mutex
	posted, exported := 0, 0
	hook := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		var sent struct{ Entries []auditlog.Record }
		if err != nil || json.Unmarshal(body, &sent) != nil || !signed(secret, r.Header.Get(auditlog.SignatureHeader), body) {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		mu.Lock()
		defer mu.Unlock()
		posted += len(sent.Entries)
	}))
	defer hook.Close()
	collector := &collector{count: func(n int) { mu.Lock(); exported += n; mu.Unlock() }}
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	file, ferr := auditlog.NewFile(path)
	web, werr := auditlog.NewWebhook(hook.URL+"/?token=hidden", secret)
	otlp, oerr := auditlog.NewOTLP("http://" + collector.serve(t))
	if err := errors.Join(ferr, werr, oerr); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(web.Name(), "hidden") {
		t.Errorf("the sink's name %q tells a secret", web.Name())
	}
	flaky := &memory{got: map[string]audit.Entry{}}
	b := newBed(t, file, web, otlp, flaky)
	b.change(t, "acme", 30)
	b.change(t, "globex", 2)
	for range 3 {
		b.log.Turn(t.Context())
		b.log.Turn(t.Context()) // a sink may fail once
		b.change(t, "acme", 10)
	}
	text, err := os.ReadFile(path)
	const want = 52
	if lines := strings.Count(string(text), "\n"); err != nil || lines != want {
		t.Errorf("the file has %d lines, want %d; %v", lines, want, err)
	}
	mu.Lock()
	defer mu.Unlock()
	if posted != want || exported != want || len(flaky.got) != want {
		t.Errorf("posted %d, exported %d, in memory %d; want %d each", posted, exported, len(flaky.got), want)
	}
}

func signed(secret []byte, header string, body []byte) bool {
	t, v, ok := strings.Cut(header, ",v1=")
	mac := hmac.New(sha256.New, secret)
	_, _ = mac.Write([]byte(strings.TrimPrefix(t, "t=") + "." + string(body)))
	return ok && v == hex.EncodeToString(mac.Sum(nil))
}

type collector struct {
	logsv1.UnimplementedLogsServiceServer
	count func(int)
}

func (c *collector) Export(_ context.Context, req *logsv1.ExportLogsServiceRequest) (*logsv1.ExportLogsServiceResponse, error) {
	for _, r := range req.GetResourceLogs() {
		for _, s := range r.GetScopeLogs() {
			c.count(len(s.GetLogRecords()))
		}
	}
	return &logsv1.ExportLogsServiceResponse{}, nil
}

func (c *collector) serve(t *testing.T) string {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g := grpc.NewServer()
	logsv1.RegisterLogsServiceServer(g, c)
	var wg sync.WaitGroup
	wg.Go(func() { _ = g.Serve(l) })
	t.Cleanup(func() { g.Stop(); wg.Wait() })
	return l.Addr().String()
}

func TestSinksThatCannotWorkAreRefused(t *testing.T) {
	for _, address := range []string{"ftp://x", "http://example.com/", "::", ""} {
		if _, err := auditlog.NewWebhook(address, nil); err == nil {
			t.Errorf("webhook %q is accepted", address)
		}
	}
	for _, address := range []string{"x:4317", "http://example.com:4317", "https://x:4317/path"} {
		if _, err := auditlog.NewOTLP(address); err == nil {
			t.Errorf("collector %q is accepted", address)
		}
	}
}
