package meter

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
	"unsafe"

	"github.com/google/go-cmp/cmp"
)

const childEnv = "COVEY_METER_TEST_DIR"

// How the child counts: connections flush on their own, one message at a time
// of this size, and note in shared memory of their own what they have done.
const (
	childConns = 4
	childBytes = 16
)

// countUntilKilled is the broker-like child of the kill test.
func countUntilKilled(dir string) {
	m, err := Open(dir, Options{})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	witness, err := openArena(filepath.Join(dir, "witness"), func([]byte) {})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	delivered := (*[childConns]atomic.Uint64)(unsafe.Pointer(&witness.maps[0][0]))
	a, err := m.Account(keyA)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(m.IncarnationID())
	var wg sync.WaitGroup
	for c := range childConns {
		wg.Go(func() {
			i := m.Intent()
			for {
				i.Set(a, 1, childBytes)
				delivered[c].Add(1) // the kernel has it
				a.Delivered(1, childBytes)
				i.Clear()
			}
		})
	}
	wg.Wait()
}

// killChild counts in dir until the child is killed and returns its
// incarnation and how much it delivered.
func killChild(t *testing.T, dir string, alive time.Duration) (incarnation string, delivered uint64) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), childEnv+"="+dir)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	// A child that has counted nothing leaves nothing.
	for deadline := time.Now().Add(time.Minute); !counts(filepath.Join(dir, "witness")); <-time.After(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the child counts nothing")
		}
	}
	kill := time.NewTimer(alive)
	<-kill.C
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // killed, as it should be
	witness, err := os.ReadFile(filepath.Join(dir, "witness"))
	if err != nil {
		t.Fatal(err)
	}
	for c := range childConns {
		delivered += binary.NativeEndian.Uint64(witness[8*c:])
	}
	return strings.TrimSpace(line), delivered
}

// counts reports whether a connection of the child has counted something: it goes
// on to the second message when it has counted the first.
func counts(witness string) bool {
	text, err := os.ReadFile(witness)
	for c := range childConns {
		if err == nil && len(text) >= 8*childConns && binary.NativeEndian.Uint64(text[8*c:]) > 1 {
			return true
		}
	}
	return false
}

func TestCountsSurviveKill(t *testing.T) {
	rounds := 10
	if testing.Short() {
		rounds = 3
	}
	for n := range rounds {
		dir := t.TempDir()
		id, delivered := killChild(t, dir, time.Duration(5+7*n)*time.Millisecond)
		m := open(t, dir)
		if len(m.Orphans()) != 1 || m.Orphans()[0].IncarnationID() != id {
			t.Fatalf("adopted %v, want %s", m.Orphans(), id)
		}
		o := m.Orphans()[0]
		counted := totals(o.series)[keyA]
		messages, size := o.Unresolved()
		if c := counted[wordDelivered]; c > delivered || delivered > c+messages {
			t.Errorf("counted %d, delivered %d, intents %d", c, delivered, messages)
		}
		if c := counted[wordDeliveredBytes]; c > delivered*childBytes || delivered*childBytes > c+size {
			t.Errorf("counted %d bytes, delivered %d, intents %d", c, delivered*childBytes, size)
		}
		if messages > childConns {
			t.Errorf("%d unresolved messages of %d connections", messages, childConns)
		}
	}
}

func TestOrphanStaysUntilDeleted(t *testing.T) {
	dir := t.TempDir()
	first := open(t, dir)
	a := account(t, first, keyA)
	a.Published(3, 30)
	a.Release()
	want := first.series()

	beside := open(t, dir)
	if n := len(beside.Orphans()); n != 0 {
		t.Fatalf("adopted %d files of a process that lives", n)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	second := open(t, dir)
	if len(second.Orphans()) != 1 {
		t.Fatalf("adopted %d files, want 1", len(second.Orphans()))
	}
	third := open(t, dir)
	if n := len(third.Orphans()); n != 0 {
		t.Fatalf("%d files were adopted twice", n)
	}
	o := second.Orphans()[0]
	if diff := cmp.Diff(want, o.series); diff != "" {
		t.Errorf("series (-want +got):\n%s", diff)
	}
	if err := o.Delete(); err != nil {
		t.Fatal(err)
	}
	if n := len(open(t, dir).Orphans()); n != 0 {
		t.Errorf("%d orphans after the deletion", n)
	}
}

func TestForgottenHoursAreNotAdopted(t *testing.T) {
	dir := t.TempDir()
	m := open(t, dir)
	a := account(t, m, keyA)
	w := m.Window()
	a.Published(1, 10)
	m.roll(time.Unix(w+3600, 0))
	if !m.Forget(w, m.series()) {
		t.Fatal("not forgotten")
	}
	a.Published(2, 20)
	want := m.series()
	if err := m.Close(); err != nil { // with the account still held, as in a hasty exit
		t.Fatal(err)
	}
	a.Published(1, 1) // must not crash
	o := open(t, dir).Orphans()
	if len(o) != 1 || o[0].series[0].Window != want[0].Window {
		t.Fatalf("adopted %v, want %v", o, want)
	}
}

func TestFileIsDeletedOnceTheLedgerHoldsAll(t *testing.T) {
	dir := t.TempDir()
	m := open(t, dir)
	a := account(t, m, keyA)
	a.Published(1, 10)
	s := m.series()
	a.Published(1, 10)
	if m.Settle(s) {
		t.Error("settled with counts that the ledger does not hold")
	}
	if !m.Settle(m.series()) {
		t.Error("not settled")
	}
	a.Release()
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "*")); len(left) != 0 {
		t.Errorf("left %v", left)
	}
}

func TestDamagedFileIsSetAside(t *testing.T) {
	dir := t.TempDir()
	m := open(t, dir)
	account(t, m, keyA).Published(1, 1)
	path := m.store.path
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	b[20] ^= 1
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	if n := len(open(t, dir).Orphans()); n != 0 {
		t.Errorf("adopted %d damaged files", n)
	}
	if _, err := os.Stat(path + damagedSuffix); err != nil {
		t.Error(err)
	}
}

func FuzzParse(f *testing.F) {
	dir := f.TempDir()
	m := open(f, dir)
	account(f, m, keyA).Published(1, 1)
	account(f, m, keyB).Delivered(2, 2)
	m.Intent().Set(account(f, m, keyA), 1, 1)
	good, err := os.ReadFile(m.store.path)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(uint32(0), uint64(0))
	f.Add(uint32(headerSize+segmentPrefix), uint64(2))
	f.Add(uint32(headerSize+segmentPrefix+16), uint64(1))
	f.Fuzz(func(t *testing.T, offset uint32, word uint64) {
		b := append([]byte(nil), good...)
		at := int(offset) % (len(b) - 8)
		binary.NativeEndian.PutUint64(b[at:], word)
		c, err := parse(b[:len(b)-int(word%3)*1000])
		if err != nil {
			return
		}
		seen := make(map[seriesKey]bool)
		for _, s := range c.series {
			if seen[s.key()] || s.Window%secondsPerHour != 0 || s.Counts == (Counts{}) || s.Counts.overflows() ||
				!plain(s.Account) || !plain(s.Class) {
				t.Errorf("impossible series %+v", s)
			}
			seen[s.key()] = true
		}
	})
}
