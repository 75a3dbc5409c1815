package meter

import (
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/coveymq/covey/internal/errs"
)

func TestCountsOfAnAccountAreSharedByItsHolders(t *testing.T) {
	for _, dir := range []string{"", t.TempDir()} {
		m := open(t, dir)
		one, two := account(t, m, keyA), account(t, m, keyA)
		one.Published(2, 20)
		two.Published(1, 5)
		two.Delivered(7, 70)
		account(t, m, keyB) // counts nothing, so it is no series
		one.Release()
		two.Release()
		again := account(t, m, keyA) // within the hour it is the same series
		again.Published(1, 1)
		want := []Series{{Account: keyA, Class: ClassStandard, Window: m.Window(), Counts: Counts{4, 7, 26, 70}}}
		if diff := cmp.Diff(want, m.series()); diff != "" {
			t.Errorf("dir %q: series (-want +got):\n%s", dir, diff)
		}
	}
}

func TestCountingAfterReleaseChargesNobody(t *testing.T) {
	m := open(t, t.TempDir())
	a := account(t, m, keyA)
	a.Release()
	b := account(t, m, keyB)
	a.Published(1, 1)
	a.Delivered(1, 1)
	if s := m.series(); len(s) != 0 {
		t.Errorf("series %v, want none", s)
	}
	b.Release()
}

func TestHoursRollByThemselves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, err := Open("", Options{KeepClosed: true})
		if err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		wg.Go(func() { _ = m.Run(t.Context()) })
		first := m.Window()
		a := account(t, m, keyA)
		idle := account(t, m, keyB)
		a.Published(1, 10)
		time.Sleep(time.Hour) //nolint:forbidigo // the bubble's clock
		synctest.Wait()
		a.Published(2, 20)
		idle.Delivered(3, 30)
		got := make(map[seriesKey]Counts)
		m.Snapshot(func(s Series) bool { got[s.key()] = s.Counts; return true })
		want := map[seriesKey]Counts{
			{keyA, ClassStandard, first}:        {1, 0, 10, 0},
			{keyA, ClassStandard, first + 3600}: {2, 0, 20, 0},
			{keyB, ClassStandard, first + 3600}: {0, 3, 0, 30},
		}
		if diff := cmp.Diff(want, got, cmp.AllowUnexported(seriesKey{})); diff != "" {
			t.Errorf("series (-want +got):\n%s", diff)
		}
	})
}

func TestMeterThatNobodyReadsKeepsNoOldHours(t *testing.T) {
	m := open(t, "")
	a := account(t, m, keyA)
	a.Published(1, 1)
	m.roll(time.Now().Add(time.Hour))
	if s := m.series(); len(s) != 0 {
		t.Errorf("series %v, want none", s)
	}
	a.Published(5, 5)
	if got := totals(m.series())[keyA]; got != (Counts{5, 0, 5, 0}) {
		t.Errorf("counts %v", got)
	}
}

func TestClockThatStepsBackKeepsTheHour(t *testing.T) {
	m := open(t, "")
	w := m.Window()
	m.roll(time.Now().Add(-3 * time.Hour))
	if m.Window() != w {
		t.Errorf("window went from %d to %d", w, m.Window())
	}
}

func TestForgetWantsTheExactCountsOfTheOldestClosedHour(t *testing.T) {
	m := open(t, t.TempDir())
	a := account(t, m, keyA)
	w := m.Window()
	a.Published(1, 10)
	s := m.series()
	if m.Forget(w, s) {
		t.Error("forgot the current hour")
	}
	m.roll(time.Unix(w+3600, 0))
	a.Published(1, 11)
	m.roll(time.Unix(w+7200, 0))
	if m.Forget(w+3600, m.series()) {
		t.Error("forgot an hour before an older one")
	}
	wrong := []Series{s[0]}
	wrong[0].Counts[wordPublished]++
	if m.Forget(w, wrong) {
		t.Error("forgot what the ledger does not hold")
	}
	if !m.Forget(w, s) {
		t.Error("did not forget what the ledger holds")
	}
	if got := totals(m.series())[keyA]; got != (Counts{1, 0, 11, 0}) {
		t.Errorf("counts left %v", got)
	}
}

func TestAddToARecordOfAForgottenHourIsNotLost(t *testing.T) {
	m := open(t, t.TempDir())
	a := account(t, m, keyA)
	w := m.Window()
	a.Published(1, 10)
	old := a.current.Load() // what a racing adder holds
	m.roll(time.Unix(w+3600, 0))
	if !m.Forget(w, m.series()) {
		t.Fatal("not forgotten")
	}
	old.words[wordPublished].Add(3)
	if got := totals(m.series())[keyA][wordPublished]; got != 3 {
		t.Errorf("published %d after the late add, want 3", got)
	}
	old.words[wordPublished].Add(1)
	m.roll(time.Unix(w+7200, 0)) // takes the old record again
	a.Published(1, 0)
	old.words[wordPublished].Add(1)
	a.Release()
	if got := totals(m.series())[keyA][wordPublished]; got != 6 {
		t.Errorf("published %d in the end, want 6", got)
	}
}

func TestNoDiskSpaceIsSaid(t *testing.T) {
	err := withAdvice(&os.PathError{Op: "fallocate", Path: "x", Err: unix.ENOSPC}, "/state")
	if errs.CodeOf(err) != errs.Exhausted {
		t.Errorf("error %v has code %v", err, errs.CodeOf(err))
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "plain"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(filepath.Join(dir, "plain"), Options{}); err == nil {
		t.Error("opened a file as a directory")
	}
}

func TestAccountThatIsNoKeyIsRefused(t *testing.T) {
	m := open(t, t.TempDir())
	for _, key := range []string{"", "a b", keyA + "A"} {
		var e *errs.Error
		if _, err := m.Account(key); !errors.As(err, &e) {
			t.Errorf("Account(%q) = %v", key, err)
		}
	}
}

func TestHotPathAllocatesNothing(t *testing.T) {
	m := open(t, t.TempDir())
	a, i := account(t, m, keyA), m.Intent()
	if n := testing.AllocsPerRun(1000, func() {
		i.Set(a, 1, 128)
		a.Published(1, 128)
		a.Delivered(1, 128)
		i.Clear()
	}); n != 0 {
		t.Errorf("%v allocations per message", n)
	}
}

func TestNothingIsLostWhileHoursRollAndAreForgotten(t *testing.T) {
	m := open(t, t.TempDir())
	const adders, each = 4, 20_000
	a := account(t, m, keyA)
	var wg sync.WaitGroup
	for range adders {
		wg.Go(func() {
			for range each {
				a.Delivered(1, 3)
			}
		})
	}
	var forgotten Counts
	wg.Go(func() { forgotten = forgetHours(m, 200) })
	wg.Wait()
	got := totals(m.series())[keyA]
	if sum := got[wordDelivered] + forgotten[wordDelivered]; sum != adders*each {
		t.Errorf("delivered %d, want %d", sum, adders*each)
	}
	if sum := got[wordDeliveredBytes] + forgotten[wordDeliveredBytes]; sum != 3*adders*each {
		t.Errorf("delivered bytes %d, want %d", sum, 3*adders*each)
	}
}

// forgetHours ends n hours one after the other and forgets each as soon as it
// is asked to with the right counts. It returns the sum of what it forgot.
func forgetHours(m *Meter, n int) (sum Counts) {
	w := m.Window()
	for i := range int64(n) {
		m.roll(time.Unix(w+3600*(i+1), 0))
		var old []Series
		for _, s := range m.series() {
			if s.Window == w+3600*i {
				old = append(old, s)
			}
		}
		if !m.Forget(w+3600*i, old) {
			continue // counted meanwhile; this and all later hours stay
		}
		for _, s := range old {
			for i, v := range s.Counts {
				sum[i] += v
			}
		}
	}
	return sum
}

func BenchmarkFlush(b *testing.B) {
	m := open(b, b.TempDir())
	a, i := account(b, m, keyA), m.Intent()
	b.ReportAllocs()
	for b.Loop() {
		i.Set(a, 8, 1024)
		a.Delivered(8, 1024)
		i.Clear()
	}
}

func BenchmarkPublished(b *testing.B) {
	m := open(b, "")
	a := account(b, m, keyA)
	b.ReportAllocs()
	for b.Loop() {
		a.Published(1, 128)
	}
}

func TestAddBetweenTheLookAndTheRecyclingIsCarriedOver(t *testing.T) {
	m := open(t, t.TempDir())
	a := account(t, m, keyA)
	a.Published(4, 40)
	old := a.current.Load()
	m.roll(time.Unix(m.Window()+3600, 0))
	m.mu.Lock()
	a.closed = nil
	m.recycleLocked(a, old, Counts{3, 0, 30, 0}) // the ledger holds three; the fourth came late
	m.mu.Unlock()
	if got := totals(m.series())[keyA]; got != (Counts{1, 0, 10, 0}) {
		t.Errorf("carried over %v, want one message of 10 bytes", got)
	}
}
