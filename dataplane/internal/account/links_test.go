package account_test

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/jwt/v2"

	"github.com/coveymq/covey/dataplane/internal/account"
	"github.com/coveymq/covey/dataplane/internal/operatortest"
)

// sharers is an operator with accounts that share, and who serves them.
type sharers struct {
	t        *testing.T
	source   *operatortest.Source
	registry *account.Registry
	p, c     *operatortest.Account // p exports, c imports
	exported *jwt.Export           // the stream
	stream   *jwt.Import
}

func newSharers(t *testing.T) *sharers {
	t.Helper()
	op := operatortest.New(t)
	s := &sharers{t: t, source: operatortest.NewSource(), p: op.Account("p"), c: op.Account("c")}
	s.registry = account.NewRegistry(op.Key, s.source, func(string) (account.Usage, error) { return account.NoUsage{}, nil }, slog.New(slog.DiscardHandler))
	if err := s.registry.SetOperator(op.JWT); err != nil {
		t.Fatal(err)
	}
	s.exported = &jwt.Export{Subject: "s.>", Type: jwt.Stream}
	s.stream = &jwt.Import{Account: s.p.Key, Subject: "s.>", Type: jwt.Stream}
	s.p.Claims.Exports.Add(s.exported, &jwt.Export{Subject: "q", Type: jwt.Service})
	s.c.Claims.Imports.Add(s.stream, &jwt.Import{Account: s.p.Key, Subject: "q", Type: jwt.Service})
	return s
}

// put stores an account's claims and puts them in force if it is loaded.
func (s *sharers) put(a *operatortest.Account) {
	s.t.Helper()
	token := a.Token()
	if err := s.registry.Apply(a.Key, token, s.source.Put(a.Key, token)); err != nil {
		s.t.Fatal(err)
	}
}

// run keeps the links until what it returns is called.
func (s *sharers) run() (stop func()) {
	ctx, cancel := context.WithCancel(s.t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { _ = s.registry.Run(ctx) })
	return func() {
		cancel()
		wg.Wait()
	}
}

func (s *sharers) get(a *operatortest.Account) *account.Account {
	s.t.Helper()
	got, err := s.registry.Get(s.t.Context(), a.Key)
	if err != nil {
		s.t.Fatal(err)
	}
	return got
}

// linked returns how many streams and services an account imports, as it is in
// force.
func linked(a *account.Account) [2]int {
	l := a.Links()
	if l == nil {
		return [2]int{}
	}
	return [2]int{len(l.Streams), len(l.Services)}
}

func (s *sharers) want(a *account.Account, want [2]int, when string) {
	s.t.Helper()
	if got := linked(a); got != want {
		s.t.Errorf("%s: %v imports in force, want %v; %v", when, got, want, a.Links().Faults())
	}
}

func TestWhoImportsLoadsTheExporter(t *testing.T) {
	s := newSharers(t)
	s.put(s.p)
	s.put(s.c)
	s.want(s.get(s.c), [2]int{1, 1}, "loaded")
	if s.registry.Loaded(s.p.Key) == nil {
		t.Error("the exporter is not loaded")
	}
}

func TestAccountsThatImportFromEachOtherLoad(t *testing.T) {
	s := newSharers(t)
	s.c.Claims.Exports.Add(&jwt.Export{Subject: "back", Type: jwt.Service})
	s.p.Claims.Imports.Add(&jwt.Import{Account: s.c.Key, Subject: "back", Type: jwt.Service})
	s.put(s.p)
	s.put(s.c)
	s.want(s.get(s.c), [2]int{1, 1}, "the one")
	s.want(s.get(s.p), [2]int{0, 1}, "the other")
}

func TestChangedExportsTouchTheirImporters(t *testing.T) {
	s := newSharers(t)
	s.put(s.p)
	s.put(s.c)
	c := s.get(s.c)
	s.p.Claims.Exports = jwt.Exports{{Subject: "s.>", Type: jwt.Stream}}
	s.put(s.p)
	s.want(c, [2]int{1, 0}, "without the service")
	s.p.Claims.Exports = jwt.Exports{{Subject: "q", Type: jwt.Service}}
	s.put(s.p)
	s.want(c, [2]int{0, 1}, "without the stream")
	s.registry.Delete(s.p.Key, s.source.Remove(s.p.Key))
	s.want(c, [2]int{}, "without the exporter")
}

func TestChangedImportsAreInForceAtOnce(t *testing.T) {
	s := newSharers(t)
	s.put(s.p)
	s.put(s.c)
	c := s.get(s.c)
	s.c.Claims.Imports = jwt.Imports{s.stream}
	s.put(s.c)
	s.want(c, [2]int{1, 0}, "one less")
	s.c.Claims.Imports = nil
	s.put(s.c)
	if s.want(c, [2]int{}, "none"); c.Links() != nil {
		t.Error("an account that shares nothing has links")
	}
}

func (s *sharers) token(expires int64) string {
	s.t.Helper()
	act := jwt.NewActivationClaims(s.c.Key)
	act.ImportSubject, act.ImportType, act.Expires = "s.>", jwt.Stream, expires
	return s.p.Activation(act)
}

func (s *sharers) private() {
	s.exported.TokenReq = true
	s.c.Claims.Imports = jwt.Imports{s.stream}
}

func TestActivationTokens(t *testing.T) {
	s := newSharers(t)
	s.private()
	s.put(s.p)
	s.put(s.c)
	c := s.get(s.c)
	s.want(c, [2]int{}, "without a token")
	s.stream.Token = s.token(0)
	s.put(s.c)
	s.want(c, [2]int{1, 0}, "with a token")
	s.exported.Revoke(s.c.Key)
	s.put(s.p)
	s.want(c, [2]int{}, "with a revoked token")
	s.exported.ClearRevocation(s.c.Key)
	s.put(s.p)
	s.want(c, [2]int{1, 0}, "with a token that is not revoked any more")
}

func TestAnActivationTokenOfAnotherAccountIsWorthNothing(t *testing.T) {
	s := newSharers(t)
	s.private()
	act := jwt.NewActivationClaims(s.c.Key)
	act.ImportSubject, act.ImportType = "s.>", jwt.Stream
	act.IssuerAccount = s.p.Key
	s.stream.Token = s.c.Activation(act) // it signs for itself
	s.put(s.p)
	s.put(s.c)
	s.want(s.get(s.c), [2]int{}, "self-made")
}

func TestAnActivationTokenLapsesByItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSharers(t)
		s.private()
		s.stream.Token = s.token(time.Now().Add(time.Minute).Unix())
		s.put(s.p)
		s.put(s.c)
		c := s.get(s.c)
		defer s.run()()
		<-time.After(59 * time.Second)
		s.want(c, [2]int{1, 0}, "before")
		<-time.After(time.Second)
		synctest.Wait()
		s.want(c, [2]int{}, "after")
	})
}

func TestAnExporterThatIsUnavailableIsLookedForAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSharers(t)
		s.put(s.p)
		s.put(s.c)
		down := true
		s.source.Before = func(key string) error {
			if down && key == s.p.Key {
				return errors.New("away")
			}
			return nil
		}
		c := s.get(s.c)
		s.want(c, [2]int{}, "away")
		down = false
		defer s.run()()
		<-time.After(10 * time.Second)
		synctest.Wait()
		s.want(c, [2]int{1, 1}, "back")
	})
}

func TestAnExporterStaysAsLongAsItsImportersHaveMembers(t *testing.T) {
	s := newSharers(t)
	s.put(s.p)
	s.put(s.c)
	c := s.get(s.c)
	m := &member{id: &account.Identity{Account: c}}
	if err := c.Join(m); err != nil {
		t.Fatal(err)
	}
	s.registry.Evict(time.Now().Add(time.Hour), time.Minute)
	if s.registry.Loaded(s.p.Key) == nil {
		t.Fatal("the exporter was evicted")
	}
	c.Leave(m)
	s.registry.Evict(time.Now().Add(time.Hour), time.Minute)
	if n := s.registry.Len(); n != 0 {
		t.Errorf("%d accounts are left", n)
	}
}
