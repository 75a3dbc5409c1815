// Package ledgertest is what every usage ledger must do, whatever database it
// keeps its rows in.
package ledgertest

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/coveymq/covey/billing"
)

// Run tests the ledgers that open returns. Each call must return an empty one.
func Run(t *testing.T, open func(testing.TB) billing.Ledger) {
	t.Helper()
	for name, test := range map[string]func(*testing.T, billing.Ledger){
		"MaximumOfEachKey":     testMaximum,
		"RecordedSaysWhatWas":  testRecorded,
		"UsageSumsWholeHours":  testUsage,
		"UsageOfNobodyIsEmpty": testUsageOfNobody,
		"Receipts":             testReceipts,
		"QuarantineIsReleased": testQuarantine,
		"FutureStaysOut":       testFuture,
		"ZeroIsNoSample":       testZero,
	} {
		t.Run(name, func(t *testing.T) { test(t, open(t)) })
	}
}

const hour = int64(3600)

// Hours long ago, so that no clock matters.
var (
	noon  = time.Date(2025, 3, 1, 12, 0, 0, 0, time.UTC)
	first = noon.Unix()
)

func sample(account string, meter billing.Meter, window, value int64) billing.Sample {
	return billing.Sample{
		Incarnation: "one", Account: account, Class: billing.ClassStandard,
		Meter: meter, Window: window, Value: value,
	}
}

func record(tb testing.TB, l billing.Ledger, samples ...billing.Sample) billing.Recorded {
	tb.Helper()
	done, err := l.Record(tb.Context(), samples)
	if err != nil {
		tb.Fatal(err)
	}
	return done
}

// usage reads one account over all hours, without the time of the report.
func usage(tb testing.TB, l billing.Ledger, account string, from, to time.Time) billing.AccountUsage {
	tb.Helper()
	got, err := l.Usage(tb.Context(), []string{account}, from, to)
	if err != nil {
		tb.Fatal(err)
	}
	if len(got) != 1 {
		tb.Fatalf("%d entries for one account", len(got))
	}
	got[0].Reported = time.Time{}
	return got[0]
}

var (
	accounts     = []string{"A1", "A2", "A3"}
	incarnations = []string{"one", "two"}
	meters       = []billing.Meter{billing.Published, billing.PublishedBytes, billing.Delivered, billing.DeliveredBytes}
)

// testMaximum records cumulative reports in any order, in any grouping, any
// number of times, and expects exactly the maximum of each key.
func testMaximum(t *testing.T, l billing.Ledger) {
	t.Helper()
	model := make(map[billing.Sample]int64) // by key: Value is zero
	rapid.Check(t, func(rt *rapid.T) {
		drawn := rapid.SliceOfN(rapid.Custom(drawSample), 1, 30).Draw(rt, "samples")
		again := rapid.SliceOf(rapid.SampledFrom(drawn)).Draw(rt, "repeats")
		if _, err := l.Record(t.Context(), append(drawn, again...)); err != nil {
			rt.Fatal(err)
		}
		for _, s := range drawn {
			key := s
			key.Value = 0
			model[key] = max(model[key], s.Value)
		}
		compare(t, rt, l, model)
	})
}

func drawSample(t *rapid.T) billing.Sample {
	return billing.Sample{
		Incarnation: rapid.SampledFrom(incarnations).Draw(t, "incarnation"),
		Account:     rapid.SampledFrom(accounts).Draw(t, "account"),
		Class:       rapid.SampledFrom([]string{billing.ClassStandard, "other"}).Draw(t, "class"),
		Meter:       rapid.SampledFrom(meters).Draw(t, "meter"),
		Window:      first + hour*rapid.Int64Range(0, 2).Draw(t, "hour"),
		Value:       rapid.Int64Range(1, 1<<40).Draw(t, "value"),
	}
}

func compare(t *testing.T, rt *rapid.T, l billing.Ledger, model map[billing.Sample]int64) {
	t.Helper()
	want := make([]billing.AccountUsage, len(accounts))
	receipts := make(map[string][]billing.Receipt)
	windows := []int64{first, first + hour, first + 2*hour}
	for _, name := range incarnations {
		for _, w := range windows {
			receipts[name] = append(receipts[name], billing.Receipt{Window: w})
		}
	}
	for i, a := range accounts {
		want[i].Account = a
		for key, value := range model {
			if key.Account == a {
				add(&want[i], key.Meter, value)
				receipts[key.Incarnation][(key.Window-first)/hour].Add(a, key.Class, key.Meter, value)
			}
		}
	}
	got, err := l.Usage(t.Context(), accounts, noon, noon.Add(2*time.Hour))
	if err != nil {
		rt.Fatal(err)
	}
	for i := range got {
		got[i].Reported = time.Time{}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		rt.Fatalf("usage (-want +got):\n%s", diff)
	}
	for name, want := range receipts {
		got, err := l.Receipts(t.Context(), name, windows)
		if err != nil {
			rt.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			rt.Fatalf("receipts of %s (-want +got):\n%s", name, diff)
		}
	}
}

func add(u *billing.AccountUsage, meter billing.Meter, value int64) {
	switch meter {
	case billing.Published:
		u.Published += value
	case billing.PublishedBytes:
		u.PublishedBytes += value
	case billing.Delivered:
		u.Delivered += value
	case billing.DeliveredBytes:
		u.DeliveredBytes += value
	}
}

func testRecorded(t *testing.T, l billing.Ledger) {
	t.Helper()
	record(t, l, sample("A", billing.Published, first, 5))
	got := record(t, l,
		sample("A", billing.Published, first, 5),
		sample("A", billing.Published, first, 4),
		sample("A", billing.Published, first, 6),
		sample("A", billing.Delivered, first, 1))
	if want := (billing.Recorded{Raised: 2, Same: 1, Lower: 1}); got != want {
		t.Errorf("recorded %+v, want %+v", got, want)
	}
}

func testUsage(t *testing.T, l billing.Ledger) {
	t.Helper()
	before := time.Now().Add(-time.Second)
	for i := range int64(4) {
		record(t, l, sample("A", billing.Published, first+i*hour, 1<<(8*i)))
	}
	got := usage(t, l, "A", noon.Add(90*time.Minute), noon.Add(2*time.Hour))
	if want := int64(1<<8 + 1<<16); got.Published != want {
		t.Errorf("published %#x in the middle hours, want %#x", got.Published, want)
	}
	all, err := l.Usage(t.Context(), []string{"B", "A"}, noon, noon.Add(9*time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	if len(all) != 2 || all[0] != (billing.AccountUsage{Account: "B"}) || all[1].Account != "A" {
		t.Fatalf("usage %+v", all)
	}
	if all[1].Reported.Before(before) || all[1].Reported.After(time.Now()) {
		t.Errorf("reported %v", all[1].Reported)
	}
}

func testUsageOfNobody(t *testing.T, l billing.Ledger) {
	t.Helper()
	record(t, l, sample("A", billing.Published, first, 5))
	got, err := l.Usage(t.Context(), nil, noon, noon)
	if err != nil || len(got) != 0 {
		t.Errorf("usage of no account: %v, %v", got, err)
	}
}

func testReceipts(t *testing.T, l billing.Ledger) {
	t.Helper()
	record(t, l, sample("A", billing.Published, first, 5), sample("B", billing.Delivered, first, 7))
	got, err := l.Receipts(t.Context(), "one", []int64{first + hour, first})
	if err != nil {
		t.Fatal(err)
	}
	want := []billing.Receipt{{Window: first + hour}, {Window: first}}
	want[1].Add("A", billing.ClassStandard, billing.Published, 5)
	want[1].Add("B", billing.ClassStandard, billing.Delivered, 7)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("receipts (-want +got):\n%s", diff)
	}
	got, err = l.Receipts(t.Context(), "never seen", []int64{first})
	if err != nil || len(got) != 1 || got[0] != (billing.Receipt{Window: first}) {
		t.Errorf("receipts of an unknown incarnation: %v, %v", got, err)
	}
}

func quarantine(t *testing.T, l billing.Ledger, s billing.Sample) {
	t.Helper()
	if err := l.Quarantine(t.Context(), []billing.Sample{s}, "account is not known"); err != nil {
		t.Fatal(err)
	}
}

func has(t *testing.T, l billing.Ledger, account string) bool {
	t.Helper()
	ok, err := l.HasAccount(t.Context(), account)
	if err != nil {
		t.Fatal(err)
	}
	return ok
}

func testQuarantine(t *testing.T, l billing.Ledger) {
	t.Helper()
	quarantine(t, l, sample("A", billing.Published, first, 9))
	quarantine(t, l, sample("A", billing.Published, first, 5)) // late; changes nothing
	if has(t, l, "A") || usage(t, l, "A", noon, noon).Published != 0 {
		t.Error("quarantined sample is charged")
	}
	want := billing.Receipt{Window: first}
	want.Add("A", billing.ClassStandard, billing.Published, 9)
	got, err := l.Receipts(t.Context(), "one", []int64{first})
	if err != nil || got[0] != want {
		t.Errorf("receipt %v, %v; want %v", got, err, want)
	}
	record(t, l, sample("A", billing.Published, first+hour, 1))
	if !has(t, l, "A") {
		t.Error("recorded account is not there")
	}
	if u := usage(t, l, "A", noon, noon); u.Published != 9 {
		t.Errorf("published %d after the release, want 9", u.Published)
	}
	if got, err := l.Receipts(t.Context(), "one", []int64{first}); err != nil || got[0] != want {
		t.Errorf("receipt after the release %v, %v; want %v", got, err, want)
	}
}

func testFuture(t *testing.T, l billing.Ledger) {
	t.Helper()
	far := time.Now().Add(48 * time.Hour)
	quarantine(t, l, sample("A", billing.Published, billing.WindowOf(far), 9))
	record(t, l, sample("A", billing.Published, first, 1))
	if u := usage(t, l, "A", noon, far.Add(time.Hour)); u.Published != 1 {
		t.Errorf("published %d, want 1", u.Published)
	}
}

func testZero(t *testing.T, l billing.Ledger) {
	t.Helper()
	record(t, l, sample("A", billing.Published, first, 0))
	got, err := l.Receipts(t.Context(), "one", []int64{first})
	if err != nil || got[0].Series != 0 {
		t.Errorf("receipt %v, %v", got, err)
	}
}
