package netsim_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/coveymq/covey/internal/netsim"
	"github.com/coveymq/covey/internal/testleak"
)

func TestMain(m *testing.M) { testleak.Main(m) }

const patience = time.Minute

// echo is a target that sends back what it gets.
func echo(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				_, _ = io.Copy(c, c)
				_ = c.Close()
			})
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		wg.Wait()
	})
	return l.Addr().String()
}

func link(t *testing.T, target string) *netsim.Link {
	t.Helper()
	l, err := netsim.Listen(target)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return l
}

func dial(t *testing.T, l *netsim.Link) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", l.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return c
}

func say(t *testing.T, c net.Conn, text string) {
	t.Helper()
	if _, err := c.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
}

func hear(t *testing.T, c net.Conn, want string) {
	t.Helper()
	got := make([]byte, len(want))
	if _, err := io.ReadFull(c, got); err != nil || string(got) != want {
		t.Fatalf("%q, %v; want %q", got, err, want)
	}
}

// silent checks that nothing comes for a moment.
func silent(t *testing.T, c net.Conn) {
	t.Helper()
	if err := c.SetReadDeadline(time.Now().Add(50 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if n, err := c.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("%d bytes, %v; want silence", n, err)
	}
	if err := c.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
}

func TestCutsHoldBackAndHealInOrder(t *testing.T) {
	for name, cut := range map[string]netsim.Faults{
		"out":  {Out: netsim.Path{Cut: true}},
		"back": {Back: netsim.Path{Cut: true}},
	} {
		t.Run(name, func(t *testing.T) {
			l := link(t, echo(t))
			c := dial(t, l)
			say(t, c, "before ")
			hear(t, c, "before ")
			l.Set(cut)
			say(t, c, "during ")
			silent(t, c)
			l.Set(netsim.Faults{})
			say(t, c, "after")
			hear(t, c, "during after")
		})
	}
}

func TestACutPushesBack(t *testing.T) {
	l := link(t, echo(t))
	l.Set(netsim.Faults{Out: netsim.Path{Cut: true}})
	c := dial(t, l)
	if err := c.SetWriteDeadline(time.Now().Add(time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Write(make([]byte, 256<<20)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("%v; want a sender that is held up", err)
	}
}

func TestDelayAndRateLetEverythingThrough(t *testing.T) {
	l := link(t, echo(t))
	l.Set(netsim.Faults{Out: netsim.Path{Delay: 20 * time.Millisecond}, Back: netsim.Path{BytesPerSecond: 1 << 20}})
	c := dial(t, l)
	sent := bytes.Repeat([]byte("0123456789abcdef"), 8<<10)
	begun := time.Now()
	var wg sync.WaitGroup
	wg.Go(func() { _, _ = c.Write(sent) })
	hear(t, c, string(sent))
	wg.Wait()
	// A lower bound only: 128 KiB at 1 MiB a second, and 20 ms before.
	if took := time.Since(begun); took < 120*time.Millisecond {
		t.Errorf("took %v, which is too fast", took)
	}
}

// attempt connects and waits for a byte. A refusal may come with either.
func attempt(l *netsim.Link) error {
	c, err := net.DialTimeout("tcp", l.Addr(), patience)
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	_, err = c.Read(make([]byte, 1))
	return err
}

func TestRefuseAndSever(t *testing.T) {
	l := link(t, echo(t))
	c := dial(t, l)
	say(t, c, "x")
	hear(t, c, "x")
	l.Set(netsim.Faults{Refuse: true})
	say(t, c, "y") // what stands goes on
	hear(t, c, "y")
	if err := attempt(l); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("%v; want a connection refused", err)
	}
	l.Sever()
	if _, err := c.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("%v; want a connection severed", err)
	}
	l.Set(netsim.Faults{})
	c = dial(t, l)
	say(t, c, "z")
	hear(t, c, "z")
	for deadline := time.Now().Add(patience); l.Connections() != 1; runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Fatalf("%d connections stand, want 1", l.Connections())
		}
	}
}

func TestAnEndComesAfterTheBytesBeforeIt(t *testing.T) {
	l := link(t, echo(t))
	c := dial(t, l)
	l.Set(netsim.Faults{Back: netsim.Path{Delay: 20 * time.Millisecond}})
	say(t, c, "last words")
	tcp, ok := c.(*net.TCPConn)
	if !ok {
		t.Fatal("not TCP")
	}
	hear(t, c, "last words")
	if err := tcp.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(c); err != nil {
		t.Fatalf("end: %v", err)
	}
}
