package natslog_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/coveymq/covey/dataplane/internal/natslog"
)

func open(t *testing.T, o natslog.Options) (*natslog.Log, *bytes.Buffer) {
	t.Helper()
	var b bytes.Buffer
	l, err := natslog.Open(&b, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l, &b
}

func TestLinesLookLikeThoseOfNatsServer(t *testing.T) {
	l, b := open(t, natslog.Options{Time: true, Debug: true, Trace: true})
	log := slog.New(l)
	log.Info("Server is ready")
	log.Warn("w")
	log.Error("e")
	log.Debug("d")
	log.Log(context.Background(), natslog.LevelTrace, "t")
	log.Log(context.Background(), natslog.LevelFatal, "f")
	const head = `^\[\d+\] \d{4}/\d\d/\d\d \d\d:\d\d:\d\d\.\d{6} `
	lines := strings.Split(strings.TrimSuffix(b.String(), "\n"), "\n")
	for i, want := range []string{`\[INF\] Server is ready`, `\[WRN\] w`, `\[ERR\] e`, `\[DBG\] d`, `\[TRC\] t`, `\[FTL\] f`} {
		if !regexp.MustCompile(head + want + "$").MatchString(lines[i]) {
			t.Errorf("line %d = %q, want %s", i, lines[i], want)
		}
	}
}

func TestAttributesFollowTheMessage(t *testing.T) {
	l, b := open(t, natslog.Options{})
	slog.New(l).With("a", 1).WithGroup("g").With("b", "two words").
		Info("m", "c", "x", slog.Group("h", "d", true), slog.Attr{}, "e", "")
	want := fmt.Sprintf("[%d] [INF] m a=1 g.b=\"two words\" g.c=x g.h.d=true g.e=\"\"\n", os.Getpid())
	if b.String() != want {
		t.Errorf("got  %q\nwant %q", b.String(), want)
	}
}

func TestNobodyCanForgeALine(t *testing.T) {
	l, b := open(t, natslog.Options{})
	slog.New(l).Info("name\r\n[1] [INF] all is well", "k", "v\n[1] [ERR] x")
	if n := strings.Count(b.String(), "\n"); n != 1 {
		t.Errorf("%d lines: %q", n, b.String())
	}
}

func TestLevelsAreSwitchedOneByOneAndAtRunTime(t *testing.T) {
	l, b := open(t, natslog.Options{Trace: true})
	say := func() {
		for _, level := range []slog.Level{natslog.LevelTrace, slog.LevelDebug, slog.LevelInfo} {
			slog.New(l).Log(context.Background(), level, level.String())
		}
	}
	say()
	if got := b.String(); strings.Contains(got, "[DBG]") || !strings.Contains(got, "[TRC]") {
		t.Errorf("with trace alone: %q", got)
	}
	if err := l.Apply(natslog.Options{Debug: true}); err != nil {
		t.Fatal(err)
	}
	b.Reset()
	say()
	if got := b.String(); !strings.Contains(got, "[DBG]") || strings.Contains(got, "[TRC]") {
		t.Errorf("with debug alone: %q", got)
	}
}

func TestAFullFileIsMovedAsideAndOldOnesGo(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, "x.log")
	if err := os.WriteFile(name+".notes", []byte("not ours"), 0o600); err != nil {
		t.Fatal(err)
	}
	l, _ := open(t, natslog.Options{File: name, SizeLimit: 200, MaxFiles: 3})
	for i := range 100 {
		slog.New(l).Info(fmt.Sprintf("line %03d", i))
	}
	moved, err := filepath.Glob(name + ".2*")
	if err != nil || len(moved) != 2 {
		t.Errorf("kept %v beside the current one, %v", moved, err)
	}
	for _, f := range moved {
		if st, err := os.Stat(f); err != nil || st.Size() > 250 {
			t.Errorf("%s: %v, %v", f, st, err)
		}
	}
	if _, err := os.Stat(name + ".notes"); err != nil {
		t.Error("a file of others was removed")
	}
	slog.New(l).Info("the end")
	if got, _ := os.ReadFile(name); !strings.HasSuffix(string(got), "the end\n") {
		t.Errorf("current file = %q", got)
	}
}

func TestReopenFollowsTheName(t *testing.T) {
	name := filepath.Join(t.TempDir(), "x.log")
	l, _ := open(t, natslog.Options{File: name})
	slog.New(l).Info("one")
	if err := os.Rename(name, name+".1"); err != nil {
		t.Fatal(err)
	}
	slog.New(l).Info("two")
	if err := l.Reopen(); err != nil {
		t.Fatal(err)
	}
	slog.New(l).Info("three")
	before, _ := os.ReadFile(name + ".1")
	after, _ := os.ReadFile(name)
	if strings.Count(string(before), "\n") != 2 || !strings.HasSuffix(string(after), "three\n") {
		t.Errorf("before %q, after %q", before, after)
	}
}

func TestABadChangeChangesNothing(t *testing.T) {
	l, b := open(t, natslog.Options{})
	if err := l.Apply(natslog.Options{Debug: true, File: filepath.Join(t.TempDir(), "no", "such", "dir")}); err == nil {
		t.Fatal("a file in a missing directory was opened")
	}
	slog.New(l).Debug("d")
	slog.New(l).Info("i")
	if got := b.String(); strings.Contains(got, "[DBG]") || !strings.Contains(got, "[INF]") {
		t.Errorf("log = %q", got)
	}
}

func TestLinesStayWholeWhenManyWrite(t *testing.T) {
	name := filepath.Join(t.TempDir(), "x.log")
	l, _ := open(t, natslog.Options{File: name})
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 200 {
				slog.New(l).Info("whole")
			}
		})
	}
	wg.Go(func() {
		for i := range 50 {
			_ = l.Apply(natslog.Options{File: name, Debug: i%2 == 0})
			_ = l.Reopen()
		}
	})
	wg.Wait()
	got, _ := os.ReadFile(name)
	if n := strings.Count(string(got), "[INF] whole\n"); n != 1600 {
		t.Errorf("%d whole lines of 1600", n)
	}
}
