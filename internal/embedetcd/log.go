package embedetcd

import (
	"context"
	"log/slog"
	"strings"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// newLogger lets etcd write its warnings and errors through our logger. A line
// that etcd calls fatal panics instead of ending the process.
func newLogger(to *slog.Logger) *zap.Logger {
	return zap.New(&slogCore{to: to.With("component", "etcd")}, zap.WithFatalHook(zapcore.WriteThenPanic))
}

// slogCore is a zapcore.Core over slog. etcd's informational lines are many
// and mean nothing to an operator of Covey, so they become debug lines.
type slogCore struct{ to *slog.Logger }

func levelOf(l zapcore.Level) slog.Level {
	switch {
	case l >= zapcore.ErrorLevel:
		return slog.LevelError
	case l == zapcore.WarnLevel:
		return slog.LevelWarn
	}
	return slog.LevelDebug
}

// Enabled implements zapcore.Core.
func (c *slogCore) Enabled(l zapcore.Level) bool {
	return c.to.Enabled(context.Background(), levelOf(l))
}

// With implements zapcore.Core.
func (c *slogCore) With(fields []zapcore.Field) zapcore.Core {
	return &slogCore{to: c.to.With(attrs(fields)...)}
}

// Check implements zapcore.Core.
func (c *slogCore) Check(e zapcore.Entry, ce *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if c.Enabled(e.Level) || e.Level >= zapcore.DPanicLevel {
		return ce.AddCore(e, c)
	}
	return ce
}

// Write implements zapcore.Core.
func (c *slogCore) Write(e zapcore.Entry, fields []zapcore.Field) error {
	level := levelOf(e.Level)
	if harmless(e.Message) {
		level = slog.LevelDebug
	}
	c.to.Log(context.Background(), level, e.Message, attrs(fields)...)
	return nil
}

// harmless recognises what etcd says on a first start: before its first write is
// on disk it looks for a schema version, and finds it at its next look; before it
// has applied that it is a member it tries to lead, and does at its next try.
func harmless(message string) bool {
	return message == "Failed to detect schema version" || message == "failed to update storage version" ||
		strings.HasSuffix(message, "since there are still pending configuration changes to apply")
}

// Sync implements zapcore.Core.
func (*slogCore) Sync() error { return nil }

func attrs(fields []zapcore.Field) []any {
	enc := zapcore.NewMapObjectEncoder()
	out := make([]any, 0, len(fields))
	for _, f := range fields {
		f.AddTo(enc)
	}
	for k, v := range enc.Fields {
		out = append(out, slog.Any(k, v))
	}
	return out
}
