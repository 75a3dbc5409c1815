package transform_test

import (
	"testing"

	"github.com/nats-io/nats-server/v2/server"
	"pgregory.net/rapid"

	"github.com/coveymq/covey/dataplane/internal/transform"
)

func nowhere() string { return "" }

func always(n uint8) func() uint8 { return func() uint8 { return n } }

func add(t *testing.T, m *transform.Mappings, source string, dests ...transform.Dest) {
	t.Helper()
	if err := m.Add(source, dests...); err != nil {
		t.Fatal(err)
	}
}

func mapped(m *transform.Mappings, s, cluster string, random uint8) string {
	to, ok := m.Select([]byte(s), func() string { return cluster }, always(random))
	switch {
	case !ok:
		return "as it is"
	case to == nil:
		return "dropped"
	}
	return to.String(s)
}

func TestSelect(t *testing.T) {
	var m transform.Mappings
	add(t, &m, "foo", transform.Dest{Subject: "bar", Weight: 100})
	add(t, &m, "a.>", transform.Dest{Subject: "all.>", Weight: 100})
	add(t, &m, "a.*.c", transform.Dest{Subject: "some.$1", Weight: 100})
	add(t, &m, "a.b.c", transform.Dest{Subject: "one", Weight: 100})
	add(t, &m, "half", transform.Dest{Subject: "x", Weight: 30}, transform.Dest{Subject: "y", Weight: 20})
	add(t, &m, "lossy", transform.Dest{Subject: "lossy", Weight: 40})
	add(t, &m, "w.*", transform.Dest{Subject: "v.$1", Weight: 100}, transform.Dest{Subject: "e.$1", Weight: 100, Cluster: "east"},
		transform.Dest{Subject: "s.$1", Weight: 10, Cluster: "south"})
	for _, c := range []struct {
		subject, cluster string
		random           uint8
		want             string
	}{
		{"foo", "", 0, "bar"},
		{"foo.x", "", 0, "as it is"},
		{"a.x", "", 0, "all.x"},
		{"a.x.c", "", 0, "some.x"},
		{"a.b.c", "", 0, "one"},
		{"half", "", 19, "y"},
		{"half", "", 20, "x"},
		{"half", "", 49, "x"},
		{"half", "", 50, "half"},
		{"half", "", 99, "half"},
		{"lossy", "", 39, "lossy"},
		{"lossy", "", 40, "dropped"},
		{"w.1", "", 0, "v.1"},
		{"w.1", "east", 99, "e.1"},
		{"w.1", "south", 9, "s.1"},
		{"w.1", "south", 10, "w.1"},
		{"w.1", "north", 0, "v.1"},
	} {
		if got := mapped(&m, c.subject, c.cluster, c.random); got != c.want {
			t.Errorf("%s in %q at %d: %s, want %s", c.subject, c.cluster, c.random, got, c.want)
		}
	}
}

func TestALaterMappingOfASourceTakesItsPlace(t *testing.T) {
	var m transform.Mappings
	add(t, &m, "a.*", transform.Dest{Subject: "x.$1", Weight: 100})
	add(t, &m, "a.*", transform.Dest{Subject: "y.$1", Weight: 100})
	add(t, &m, "b", transform.Dest{Subject: "x", Weight: 100})
	add(t, &m, "b", transform.Dest{Subject: "y", Weight: 100})
	if got := mapped(&m, "a.1", "", 0) + " " + mapped(&m, "b", "", 0); got != "y.1 y" {
		t.Error(got)
	}
	if n := len(m.All()); n != 2 {
		t.Errorf("%d mappings, want 2", n)
	}
}

// What Add refuses, and how, is nats-server's.
func TestWeightedMappingsAreStocks(t *testing.T) {
	dest := rapid.Custom(func(t *rapid.T) transform.Dest {
		return transform.Dest{
			Subject: rapid.SampledFrom([]string{"a", "b", "c", "c.$1", "d.>", "{{nope()}}", "x y"}).Draw(t, "subject"),
			Weight:  rapid.SampledFrom([]uint8{0, 10, 50, 100, 101}).Draw(t, "weight"),
			Cluster: rapid.SampledFrom([]string{"", "", "east"}).Draw(t, "cluster"),
		}
	})
	rapid.Check(t, func(t *rapid.T) {
		source := rapid.SampledFrom([]string{"a", "b", "a.*", "a.>", "a..b", ""}).Draw(t, "source")
		dests := rapid.SliceOfN(dest, 0, 4).Draw(t, "dests")
		var m transform.Mappings
		err := m.Add(source, dests...)
		var stock []*server.MapDest
		for _, d := range dests {
			stock = append(stock, &server.MapDest{Subject: d.Subject, Weight: d.Weight, Cluster: d.Cluster})
		}
		stockErr := server.NewAccount("A").AddWeightedMappings(source, stock...)
		if (err == nil) != (stockErr == nil) || err != nil && err.Error() != stockErr.Error() {
			t.Fatalf("%q to %v: %v, stock: %v", source, dests, err, stockErr)
		}
	})
}

func TestSelectAllocatesNothing(t *testing.T) {
	var m transform.Mappings
	add(t, &m, "foo", transform.Dest{Subject: "bar", Weight: 50})
	add(t, &m, "a.*.c", transform.Dest{Subject: "some.$1", Weight: 50})
	random := always(99)
	for _, s := range []string{"foo", "a.b.c", "none"} {
		b, buf := []byte(s), make([]byte, 0, 64)
		if n := testing.AllocsPerRun(100, func() {
			if to, _ := m.Select(b, nowhere, random); to != nil {
				buf = to.Append(buf[:0], b)
			}
		}); n != 0 {
			t.Errorf("%s: %v allocations", s, n)
		}
	}
}
