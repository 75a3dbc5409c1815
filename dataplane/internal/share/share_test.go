package share_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"pgregory.net/rapid"

	"github.com/coveymq/covey/dataplane/internal/share"
)

// verify links sides and returns what was refused, by importer and subject.
func verify(sides ...*share.Side) map[string]error {
	refused := make(map[string]error)
	share.Verify(sides, time.Now(), func(s *share.Side, im *share.Import, err error) { refused[s.Key+" "+im.Subject] = err })
	return refused
}

func TestCyclesAreRefused(t *testing.T) {
	for _, k := range []share.Kind{share.Stream, share.Service} {
		ring := func(n int) []*share.Side {
			var sides []*share.Side
			for i := range n {
				sides = append(sides, &share.Side{Key: fmt.Sprint(i), Terms: &share.Terms{
					Exports: []share.Export{{Kind: k, Subject: "x.>"}},
					Imports: []share.Import{{Kind: k, Account: fmt.Sprint((i + 1) % n), Subject: "x.>"}},
				}})
			}
			return sides
		}
		for n := 2; n < 5; n++ {
			refused := verify(ring(n)...)
			if len(refused) != 1 || !errors.Is(refused[fmt.Sprint(n-1)+" x.>"], share.ErrCycle) {
				t.Errorf("%s, %d accounts: %v", k, n, refused)
			}
		}
	}
}

func TestWantedIsWhatBothMatch(t *testing.T) {
	for _, c := range []struct{ remote, local, sub, want string }{
		{"a.>", "", "a.b", "a.b"},
		{"a.>", "", ">", "a.>"},
		{"a.>", "", "*.b", "a.b"},
		{"a.>", "", "b.>", ""},
		{"a.*.b", "x.$1", "x.*", "a.*.b"},
		{"a.*.b", "x.$1", "x.c", "a.c.b"},
		{"a.*.b", "x.$1", "y.*", ""},
		{"a.*.*", "x.$2.$1", "x.1.*", "a.*.1"},
		{"a.*.*.*", "x.$2.$3.$1", "x.1.2.3", "a.3.1.2"},
		{"lit", "to", "to", "lit"},
		{"lit", "to", "*", "lit"},
		{"lit", "to", "lit", ""},
	} {
		from := &share.Side{Key: "P", Terms: &share.Terms{Exports: []share.Export{{Subject: c.remote}}}}
		im := share.Import{Account: "P", Subject: c.remote, Local: c.local}
		l, err := share.NewLink(&share.Side{Key: "C"}, &im, func(string) *share.Side { return from }, time.Now())
		if err != nil {
			t.Errorf("%+v: %v", c, err)
			continue
		}
		if got, ok := l.Wanted(c.sub); got != c.want || ok != (c.want != "") {
			t.Errorf("%+v: got %q, %v", c, got, ok)
		}
	}
}

// What a set of accounts may import, and what goes in circles, is nats-server's
// say.
func TestImportsAreAcceptedAsByStock(t *testing.T) {
	names := []string{"A", "B", "C"}
	subjects := rapid.SampledFrom([]string{"x", "x.*", "x.>", "x.y", "*.y", "x.A", "x.B", ">"})
	rapid.Check(t, func(t *rapid.T) {
		var sides []*share.Side
		theirs := make(map[string]*server.Account)
		for _, name := range names {
			sides = append(sides, &share.Side{Key: name, Terms: &share.Terms{}})
			theirs[name] = server.NewAccount(name)
		}
		for _, s := range sides {
			drawExports(t, s, theirs, subjects)
		}
		k := rapid.SampledFrom([]share.Kind{share.Stream, share.Service}).Draw(t, "kind")
		for range rapid.IntRange(1, 6).Draw(t, "imports") {
			s := rapid.SampledFrom(sides).Draw(t, "importer")
			im := &share.Import{
				Kind: k, Account: rapid.SampledFrom(names).Draw(t, "exporter"), Subject: subjects.Draw(t, "subject"),
				Local: rapid.SampledFrom([]string{"", "", "z", "x", "x.$1", "y.$1", "x.*", "p.>", "x.>"}).Draw(t, "local"),
			}
			if im.Account == s.Key {
				continue // stock's own lock would never come free
			}
			l, err := share.NewLink(s, im, func(key string) *share.Side { return sides[slices.Index(names, key)] }, time.Now())
			if err == nil {
				s.Links = append(s.Links, l)
			}
			stockErr := importInto(theirs, s.Key, im)
			if strings.Contains(im.Local, "$") && (duplicate(err) || duplicate(stockErr)) {
				return // stock looks for the text, and may send each request twice
			}
			if (err == nil) != (stockErr == nil) {
				t.Fatalf("%s imports %+v: %v, stock: %v", s.Key, im, err, stockErr)
			}
			if err != nil && !strings.Contains(im.Local, "$") && !strings.HasPrefix(stockErr.Error(), strings.Split(err.Error(), ":")[0]) {
				t.Fatalf("%s imports %+v: %q, stock: %q", s.Key, im, err, stockErr)
			}
		}
	})
}

func duplicate(err error) bool { return err != nil && strings.HasPrefix(err.Error(), "duplicate") }

// drawExports gives an account some exports that do not overlap: of those that do
// stock takes any.
func drawExports(t *rapid.T, s *share.Side, theirs map[string]*server.Account, subjects *rapid.Generator[string]) {
	for _, k := range []share.Kind{share.Stream, share.Service} {
		e := share.Export{Kind: k, Subject: subjects.Draw(t, "exported")}
		var allowed []*server.Account
		if rapid.Bool().Draw(t, "private") {
			name := rapid.SampledFrom([]string{"A", "B"}).Draw(t, "for")
			e.Accounts, allowed = []string{name}, []*server.Account{theirs[name]}
		}
		s.Terms.Exports = append(s.Terms.Exports, e)
		var err error
		if k == share.Stream {
			err = theirs[s.Key].AddStreamExport(e.Subject, allowed)
		} else {
			err = theirs[s.Key].AddServiceExport(e.Subject, allowed)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

func importInto(theirs map[string]*server.Account, importer string, im *share.Import) error {
	if im.Kind == share.Stream {
		return theirs[importer].AddMappedStreamImport(theirs[im.Account], im.Subject, im.Local)
	}
	return theirs[importer].AddServiceImport(theirs[im.Account], im.To(), im.Subject)
}
