package natslog

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
)

// LevelTrace is below debug: what goes over the wire. LevelFatal is for the last
// line of a process that gives up.
const (
	LevelTrace = slog.LevelDebug - 4
	LevelFatal = slog.LevelError + 4
)

// Log is a destination of log records.
type Log struct {
	stderr io.Writer // immutable

	// Levels below info, each on its own; read by anyone.
	debug, trace atomic.Bool

	mu   sync.Mutex
	opts Options // guarded by mu, as is all below
	sink sink
}

// sink takes finished lines.
type sink interface {
	write(level slog.Level, line []byte) error
	// reopen is called when something outside has moved what the sink writes to.
	reopen() error
	close() error
}

// Open returns a log with its sink open. Stderr is used when the options name
// no other.
func Open(stderr io.Writer, o Options) (*Log, error) {
	l := &Log{stderr: stderr}
	if err := l.Apply(o); err != nil {
		return nil, err
	}
	return l, nil
}

// Apply changes the options. If the new sink cannot be opened, everything stays
// as it was.
func (l *Log) Apply(o Options) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.sink == nil || !o.sameSink(l.opts) {
		next, err := l.open(o)
		if err != nil {
			return err
		}
		if l.sink != nil {
			_ = l.sink.close() // its lines are out already
		}
		l.sink = next
	}
	l.opts = o
	l.debug.Store(o.Debug)
	l.trace.Store(o.Trace)
	return nil
}

func (o Options) sameSink(p Options) bool {
	return o.File == p.File && o.SizeLimit == p.SizeLimit && o.MaxFiles == p.MaxFiles &&
		o.Syslog == p.Syslog && o.RemoteSyslog == p.RemoteSyslog
}

func (l *Log) open(o Options) (sink, error) {
	switch {
	case o.RemoteSyslog != "" || o.Syslog:
		return openSyslog(o.RemoteSyslog)
	case o.File != "":
		return openFile(o.File, o.SizeLimit, o.MaxFiles)
	}
	return stream{l.stderr}, nil
}

// Reopen opens the log file again under its name, after it was moved aside.
func (l *Log) Reopen() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.sink.reopen()
}

// Close closes the sink. Lines logged later go to the standard error stream.
func (l *Log) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	err := l.sink.close()
	l.sink = stream{l.stderr}
	return err
}

// Enabled reports whether lines of a level are written.
func (l *Log) Enabled(_ context.Context, level slog.Level) bool {
	switch {
	case level >= slog.LevelInfo:
		return true
	case level >= slog.LevelDebug:
		return l.debug.Load()
	}
	return l.trace.Load()
}

// Handle writes one record.
func (l *Log) Handle(_ context.Context, r slog.Record) error { return l.emit(r, nil) }

// WithAttrs returns a handler that adds attributes to every line.
func (l *Log) WithAttrs(attrs []slog.Attr) slog.Handler { return (&child{log: l}).WithAttrs(attrs) }

// WithGroup returns a handler that puts a name before the keys of a line.
func (l *Log) WithGroup(name string) slog.Handler { return (&child{log: l}).WithGroup(name) }

func (l *Log) emit(r slog.Record, c *child) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.sink.write(r.Level, appendLine(nil, &l.opts, r, c)); err != nil {
		// A full disk must not hide what is wrong.
		_, _ = fmt.Fprintf(l.stderr, "log: %v: %s\n", err, r.Message)
		return err
	}
	return nil
}

// stream writes to a stream that is not ours to close.
type stream struct{ io.Writer }

func (s stream) write(_ slog.Level, line []byte) error {
	_, err := s.Write(line)
	return err
}

func (stream) reopen() error { return nil }
func (stream) close() error  { return nil }

// pid is the prefix of every line.
func pid() string { return fmt.Sprintf("[%d] ", os.Getpid()) }
