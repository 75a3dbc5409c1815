package natslog

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// aside is the form of the time that is added to the name of a full file.
const aside = "2006.01.02.15.04.05.000000000"

// logFileMode lets the group read, as nats-server's log files do.
const logFileMode = 0o640

// file is a log file. Its methods are called with the log's mutex held.
type file struct {
	// Immutable.
	name     string
	limit    int64 // 0 for none
	maxFiles int   // 0 for all

	f    *os.File
	size int64
	next int64 // the size at which the file is moved aside
}

func openFile(name string, limit int64, maxFiles int) (*file, error) {
	f := &file{name: name, limit: limit, maxFiles: maxFiles, next: limit}
	if err := f.reopen(); err != nil {
		return nil, err
	}
	return f, nil
}

func (f *file) reopen() error {
	next, err := os.OpenFile(f.name, os.O_WRONLY|os.O_APPEND|os.O_CREATE, logFileMode)
	if err != nil {
		return fmt.Errorf("open log file: %w", err)
	}
	st, err := next.Stat()
	if err != nil {
		return errors.Join(fmt.Errorf("open log file: %w", err), next.Close())
	}
	if f.f != nil {
		_ = f.f.Close() // its lines are out already
	}
	f.f, f.size = next, st.Size()
	return nil
}

func (f *file) write(_ slog.Level, line []byte) error {
	n, err := f.f.Write(line)
	f.size += int64(n)
	if err != nil {
		return fmt.Errorf("write log file: %w", err)
	}
	if f.limit > 0 && f.size > f.next {
		return f.rotate()
	}
	return nil
}

// rotate moves the full file aside and goes on in a new one. If that fails the
// log goes on in the full one and tries again at twice the size.
func (f *file) rotate() error {
	if err := os.Rename(f.name, f.name+"."+time.Now().Format(aside)); err != nil {
		f.next *= 2
		return fmt.Errorf("move full log file: %w", err)
	}
	if err := f.reopen(); err != nil {
		f.next *= 2
		return err
	}
	f.next = f.limit
	return f.purge()
}

// purge removes the oldest files over the number that is kept.
func (f *file) purge() error {
	if f.maxFiles <= 0 {
		return nil
	}
	entries, err := os.ReadDir(filepath.Dir(f.name)) // sorted, and with it the times
	if err != nil {
		return fmt.Errorf("list old log files: %w", err)
	}
	var old []string
	for _, e := range entries {
		when, ours := strings.CutPrefix(e.Name(), filepath.Base(f.name)+".")
		if _, err := time.Parse(aside, when); ours && err == nil && !e.IsDir() {
			old = append(old, filepath.Join(filepath.Dir(f.name), e.Name()))
		}
	}
	var all []error
	for len(old) > f.maxFiles-1 {
		all = append(all, os.Remove(old[0]))
		old = old[1:]
	}
	return errors.Join(all...)
}

func (f *file) close() error { return f.f.Close() }
