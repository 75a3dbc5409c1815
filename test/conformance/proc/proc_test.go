package proc

import (
	"errors"
	"net"
	"testing"
	"time"
)

func TestParseCPUSkipsTheCommandName(t *testing.T) {
	got, err := parseCPU([]byte("7 (a (b) c) S 1 2 3 4 5 6 7 8 9 10 250 50 0 0 20\n"))
	if err != nil {
		t.Fatal(err)
	}
	if want := 3 * time.Second; got != want {
		t.Errorf("parseCPU = %v, want %v", got, want)
	}
}

func TestParseCPURefusesAnotherFormat(t *testing.T) {
	for _, text := range []string{"", "7 (x", "7 (x) S 1 2", "7 (x) S 1 2 3 4 5 6 7 8 9 10 a b 0"} {
		if _, err := parseCPU([]byte(text)); !errors.Is(err, errProcFormat) {
			t.Errorf("parseCPU(%q) error = %v, want %v", text, err, errProcFormat)
		}
	}
}

func TestParseMemory(t *testing.T) {
	got, err := parseMemory([]byte("Name:\tx\nVmHWM:\t  2048 kB\nVmRSS:\t  1024 kB\nRssAnon:\t   512 kB\n"))
	if err != nil {
		t.Fatal(err)
	}
	if want := (Memory{RSS: 1 << 20, Peak: 2 << 20, Own: 1 << 19}); got != want {
		t.Errorf("parseMemory = %v, want %v", got, want)
	}
}

func TestListeningSeesAListener(t *testing.T) {
	port, err := FreePort()
	if err != nil {
		t.Fatal(err)
	}
	if ok, err := listening(port); ok || err != nil {
		t.Fatalf("listening before = %v, %v", ok, err)
	}
	l, err := net.ListenTCP("tcp4", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: port})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	if ok, err := listening(port); !ok || err != nil {
		t.Errorf("listening after = %v, %v", ok, err)
	}
}
