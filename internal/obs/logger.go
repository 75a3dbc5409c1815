// Package obs sets up how a process reports on itself: today its log. Loggers
// are made here once, in a main, and handed down; nothing in Covey reaches for a
// global one.
package obs

import (
	"fmt"
	"io"
	"log/slog"
	"strings"
)

// LogOptions is how a process logs. The zero value is text from info up.
type LogOptions struct {
	Level  string // debug, info, warn or error; empty means info
	Format string // text or json; empty means text
}

// Validate reports what is wrong with the options.
func (o LogOptions) Validate() error {
	if _, err := o.level(); err != nil {
		return err
	}
	switch o.Format {
	case "", "text", "json":
		return nil
	default:
		return fmt.Errorf("log format %q is neither text nor json", o.Format)
	}
}

func (o LogOptions) level() (slog.Level, error) {
	switch strings.ToLower(o.Level) {
	case "debug":
		return slog.LevelDebug, nil
	case "", "info":
		return slog.LevelInfo, nil
	case "warn":
		return slog.LevelWarn, nil
	case "error":
		return slog.LevelError, nil
	default:
		return 0, fmt.Errorf("log level %q is none of debug, info, warn, error", o.Level)
	}
}

// NewLogger returns a logger that writes to w, one record a line.
func NewLogger(w io.Writer, o LogOptions) (*slog.Logger, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	level, _ := o.level() // validated
	opts := &slog.HandlerOptions{Level: level}
	if o.Format == "json" {
		return slog.New(slog.NewJSONHandler(w, opts)), nil
	}
	return slog.New(slog.NewTextHandler(w, opts)), nil
}
