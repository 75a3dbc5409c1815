package process_test

import (
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/coveymq/covey/dataplane/internal/process"
)

func TestSignalsByNumberFileAndPattern(t *testing.T) {
	got := make(chan os.Signal, 1)
	signal.Notify(got, syscall.SIGHUP, syscall.SIGUSR1, syscall.SIGUSR2)
	defer signal.Stop(got)
	file := filepath.Join(t.TempDir(), "pid")
	if err := process.WritePid(file); err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]os.Signal{
		fmt.Sprintf("reload=%d", os.Getpid()): syscall.SIGHUP,
		"reopen=" + file:                      syscall.SIGUSR1,
		"ldm=" + file:                         syscall.SIGUSR2,
	} {
		if err := process.Signal(text); err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if sig := <-got; sig != want {
			t.Errorf("%s sends %v", text, sig)
		}
	}
}

func TestBadSignalsAreNotSent(t *testing.T) {
	for text, want := range map[string]string{
		"":                "unknown signal",
		"dance":           "unknown signal",
		"reload=":         "invalid pid",
		"reload=0":        "invalid pid",
		"reload=-1":       "invalid pid",
		"reload=1=2":      "invalid signal parameters",
		"reload=/no/file": "invalid pid",
		"reload=x*":       "no " + process.Name() + " processes running",
	} {
		if err := process.Signal(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
}

func TestPortsFileIsInTheFormOfNatsServer(t *testing.T) {
	dir := t.TempDir()
	path, err := process.WritePorts(dir, process.Ports{NATS: []string{"nats://127.0.0.1:1"}, Monitoring: []string{"http://127.0.0.1:2"}})
	if err != nil {
		t.Fatal(err)
	}
	if want := filepath.Join(dir, fmt.Sprintf("%s_%d.ports", filepath.Base(os.Args[0]), os.Getpid())); path != want {
		t.Errorf("path = %s, want %s", path, want)
	}
	text, err := os.ReadFile(path)
	if err != nil || string(text) != `{"nats":["nats://127.0.0.1:1"],"monitoring":["http://127.0.0.1:2"]}` {
		t.Errorf("%s, %v", text, err)
	}
	if _, err := process.WritePorts(filepath.Join(dir, "none"), process.Ports{}); err == nil {
		t.Error("a file in a missing directory was written")
	}
}
