//go:build !windows && !plan9

package natslog

import (
	"fmt"
	"log/slog"
	"log/syslog"
	"os"
	"path/filepath"
	"strings"
)

// system is the system log, here or on another machine.
type system struct{ w *syslog.Writer }

// openSyslog opens the local system log, or the one at an address of the form
// network://host:port.
func openSyslog(addr string) (*system, error) {
	network, at := "", ""
	if addr != "" {
		var ok bool
		if network, at, ok = strings.Cut(addr, "://"); !ok {
			network, at = "udp", addr
		}
	}
	w, err := syslog.Dial(network, at, syslog.LOG_DAEMON|syslog.LOG_NOTICE, filepath.Base(os.Args[0]))
	if err != nil {
		return nil, fmt.Errorf("open system log: %w", err)
	}
	return &system{w}, nil
}

func (s *system) write(level slog.Level, line []byte) error {
	text := strings.TrimSuffix(string(line), "\n")
	switch {
	case level >= LevelFatal:
		return s.w.Crit(text)
	case level >= slog.LevelError:
		return s.w.Err(text)
	case level >= slog.LevelWarn:
		return s.w.Warning(text)
	case level >= slog.LevelInfo:
		return s.w.Notice(text)
	}
	return s.w.Debug(text)
}

func (*system) reopen() error  { return nil }
func (s *system) close() error { return s.w.Close() }
