package embedetcd

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/coveymq/covey/internal/errs"
	"github.com/coveymq/covey/internal/testleak"
)

func TestMain(m *testing.M) { testleak.Main(m) }

func open(t *testing.T, dir string) (*Server, error) {
	t.Helper()
	return Start(t.Context(), Config{Dir: dir, Logger: slog.New(slog.DiscardHandler)})
}

func TestDataSurvivesARestart(t *testing.T) {
	dir := t.TempDir()
	for i := range 3 {
		s, err := open(t, dir)
		if err != nil {
			t.Fatal(err)
		}
		got, err := s.Client().Get(t.Context(), "k")
		if err != nil {
			t.Fatal(err)
		}
		if i > 0 && (got.Count != 1 || string(got.Kvs[0].Value) != fmt.Sprint(i-1)) {
			t.Errorf("start %d finds %v", i, got.Kvs)
		}
		if _, err := s.Client().Put(t.Context(), "k", fmt.Sprint(i)); err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestDamageIsOneErrorAndNoCrash(t *testing.T) {
	for name, damage := range map[string]func(t *testing.T, dir string){
		"database overwritten": func(t *testing.T, dir string) { overwrite(t, filepath.Join(dir, "member", "snap", "db"), 0) },
		"database cut":         func(t *testing.T, dir string) { truncate(t, filepath.Join(dir, "member", "snap", "db")) },
		"log overwritten": func(t *testing.T, dir string) {
			logs, err := filepath.Glob(filepath.Join(dir, "member", "wal", "*.wal"))
			if err != nil || len(logs) == 0 {
				t.Fatalf("no log: %v", err)
			}
			overwrite(t, logs[0], 64)
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			s, err := open(t, dir)
			if err != nil {
				t.Fatal(err)
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			damage(t, dir)
			s, err = open(t, dir)
			if err == nil {
				_ = s.Close()
				t.Fatal("a damaged store opens")
			}
			if !errors.Is(err, errs.New(errs.Precondition, "STORE_DAMAGED", "")) {
				t.Errorf("error is %v", err)
			}
		})
	}
}

func overwrite(t *testing.T, path string, at int64) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt([]byte(strings.Repeat("damage! ", 2048)), at); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

func truncate(t *testing.T, path string) {
	t.Helper()
	if err := os.Truncate(path, 10000); err != nil {
		t.Fatal(err)
	}
}

func TestFullDiskIsNamed(t *testing.T) {
	want := errs.New(errs.Exhausted, "DISK_FULL", "")
	if err := enoughSpace("/data", 1<<20); !errors.Is(err, want) {
		t.Errorf("1 MB free: %v", err)
	}
	if err := enoughSpace("/data", 1<<40); err != nil {
		t.Errorf("1 TB free: %v", err)
	}
	for _, cause := range []error{fmt.Errorf("x: %w", syscall.ENOSPC), errors.New("open store: " + syscall.ENOSPC.Error())} {
		if err := explain("/data", cause); !errors.Is(err, want) {
			t.Errorf("%v is explained as %v", cause, err)
		}
	}
}
