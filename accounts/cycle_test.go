package accounts_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/coveymq/covey/accounts"
)

// Whatever tree of exports and imports is built, an import by import, a stock
// nats-server and CheckCycle refuse the same ones for closing a cycle.
func TestCyclesAreThoseOfNatsServer(t *testing.T) {
	s, err := server.NewServer(&server.Options{DontListen: true, NoLog: true, NoSigs: true, NoSystemAccount: true})
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	refused, taken := 0, 0
	for seed := range uint64(1000) {
		r := rand.New(rand.NewPCG(seed, 8))
		tree := newTree(t, s, seed, 2+r.IntN(4))
		for range 12 {
			tree.step(t, r, &refused, &taken)
			if t.Failed() {
				t.Fatalf("seed %d:\n%s", seed, strings.Join(tree.told, "\n"))
			}
		}
	}
	t.Logf("%d imports taken, %d refused", taken, refused)
	if refused < 100 || taken < 1000 {
		t.Error("the trees say too little")
	}
}

// tree is accounts here and in the server.
type tree struct {
	stock []*server.Account
	ours  []accounts.Sharer
	names map[string]int
	told  []string
}

func newTree(t *testing.T, s *server.Server, seed uint64, n int) *tree {
	t.Helper()
	out := &tree{names: map[string]int{}, ours: make([]accounts.Sharer, n)}
	for k := range n {
		name := fmt.Sprintf("T%d-%d", seed, k)
		a, err := s.RegisterAccount(name)
		if err != nil {
			t.Fatal(err)
		}
		out.stock, out.names[name] = append(out.stock, a), k
	}
	return out
}

func (tr *tree) look(name string) (accounts.Sharer, error) { return tr.ours[tr.names[name]], nil }

func (tr *tree) step(t *testing.T, r *rand.Rand, refused, taken *int) {
	t.Helper()
	subjects := []string{"a", "b", "a.b", "a.*", "*.b", "a.>", ">", "b.*", "a.*.b", "*.*"}
	from, to := r.IntN(len(tr.stock)), r.IntN(len(tr.stock))
	subject := subjects[r.IntN(len(subjects))]
	kind := []accounts.ShareType{accounts.Stream, accounts.Service}[r.IntN(2)]
	local := ""
	switch stars := strings.Count(subject, "*"); {
	case r.IntN(2) == 0:
	case strings.Contains(subject, ">"):
		local = "x." + subject
	case stars == 0:
		local = []string{"a", "b", "x", "a.b"}[r.IntN(4)]
	case stars == 1:
		local = []string{"a.$1", "b.$1", "$1.b", "x.$1"}[r.IntN(4)]
	default:
		local = []string{"a.$2.$1", "$1.$2"}[r.IntN(2)]
	}
	i := accounts.Import{Name: fmt.Sprint(len(tr.told)), Account: tr.stock[from].Name, Subject: subject, Local: local, Type: kind}
	if from == to || i.Validate("import") != nil {
		return
	}
	exporter, importer := tr.stock[from], tr.stock[to]
	var err error
	if kind == accounts.Stream {
		err = exporter.AddStreamExport(subject, nil)
	} else {
		err = exporter.AddServiceExport(subject, nil)
	}
	if err != nil {
		t.Fatal(err)
	}
	tr.ours[from].Exports = append(tr.ours[from].Exports, accounts.Export{Subject: subject, Type: kind})
	if kind == accounts.Stream {
		err = importer.AddMappedStreamImport(exporter, subject, local)
	} else {
		at := local
		if at == "" {
			at = subject
		}
		err = importer.AddServiceImport(exporter, at, subject)
	}
	tr.told = append(tr.told, fmt.Sprintf("%d imports %s %q as %q of %d: %v", to, kind, subject, local, from, err))
	ours := accounts.CheckCycle(importer.Name, i, tr.look)
	switch {
	case errors.Is(err, server.ErrImportFormsCycle):
		*refused++
	case err == nil:
		*taken++
		tr.ours[to].Imports = append(tr.ours[to].Imports, i)
	default:
		err = nil // for another reason: a duplicate
	}
	if (err != nil) != errors.Is(ours, accounts.ErrCycle) {
		t.Errorf("stock says %v, and we %v", err, ours)
	}
}
