package natslog

import (
	"context"
	"log/slog"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// stamp is the form of nats-server's times.
const stamp = "2006/01/02 15:04:05.000000 "

// appendLine appends the line of a record, with its end.
func appendLine(b []byte, o *Options, r slog.Record, c *child) []byte {
	// The system log adds process and time by itself.
	if !o.Syslog && o.RemoteSyslog == "" {
		b = append(b, pid()...)
		if o.Time {
			b = when(r.Time, o.UTC).AppendFormat(b, stamp)
		}
		b = append(append(b, label(r.Level)...), ' ')
	}
	b = append(b, oneLine(r.Message)...)
	prefix := ""
	if c != nil {
		b = append(b, c.fixed...)
		prefix = c.prefix
	}
	r.Attrs(func(a slog.Attr) bool {
		b = appendAttr(b, prefix, a)
		return true
	})
	return append(b, '\n')
}

func when(t time.Time, utc bool) time.Time {
	if t.IsZero() {
		t = time.Now()
	}
	if utc {
		return t.UTC()
	}
	return t.Local()
}

func label(l slog.Level) string {
	switch {
	case l >= LevelFatal:
		return "[FTL]"
	case l >= slog.LevelError:
		return "[ERR]"
	case l >= slog.LevelWarn:
		return "[WRN]"
	case l >= slog.LevelInfo:
		return "[INF]"
	case l >= slog.LevelDebug:
		return "[DBG]"
	}
	return "[TRC]"
}

// oneLine keeps what a client sent from looking like lines of ours.
func oneLine(s string) string {
	if !strings.ContainsFunc(s, unicode.IsControl) {
		return s
	}
	q := strconv.Quote(s)
	return q[1 : len(q)-1]
}

func appendAttr(b []byte, prefix string, a slog.Attr) []byte {
	v := a.Value.Resolve()
	if v.Kind() == slog.KindGroup {
		if a.Key != "" {
			prefix += a.Key + "."
		}
		for _, member := range v.Group() {
			b = appendAttr(b, prefix, member)
		}
		return b
	}
	if a.Equal(slog.Attr{}) {
		return b
	}
	b = append(append(append(append(b, ' '), prefix...), a.Key...), '=')
	s := v.String()
	if s == "" || strings.ContainsFunc(s, needsQuotes) {
		return strconv.AppendQuote(b, s)
	}
	return append(b, s...)
}

func needsQuotes(r rune) bool { return r == '"' || unicode.IsSpace(r) || !unicode.IsPrint(r) }

// child is a log with attributes that are the same on each line. Immutable.
type child struct {
	log    *Log
	fixed  string // attributes, as they are written
	prefix string // the open groups, each followed by a dot
}

// Enabled reports whether lines of a level are written.
func (c *child) Enabled(ctx context.Context, level slog.Level) bool { return c.log.Enabled(ctx, level) }

// Handle writes one record.
func (c *child) Handle(_ context.Context, r slog.Record) error { return c.log.emit(r, c) }

// WithAttrs returns a handler that adds attributes to every line.
func (c *child) WithAttrs(attrs []slog.Attr) slog.Handler {
	next, b := *c, []byte(c.fixed)
	for _, a := range attrs {
		b = appendAttr(b, c.prefix, a)
	}
	next.fixed = string(b)
	return &next
}

// WithGroup returns a handler that puts a name before the keys of a line.
func (c *child) WithGroup(name string) slog.Handler {
	next := *c
	if name != "" {
		next.prefix += name + "."
	}
	return &next
}
