// Package natslog writes log records as nats-server does, so that what reads its
// log reads ours:
//
//	[pid] 2006/01/02 15:04:05.000000 [INF] message key=value
//
// A Log is a slog.Handler over one of three sinks: the standard error stream, a
// file that is moved aside when it is full and opened again on demand, or the
// system log. Its options may change while it is in use. All methods may be
// called from any goroutine; a line is written by whoever logs it, under one
// mutex.
package natslog
