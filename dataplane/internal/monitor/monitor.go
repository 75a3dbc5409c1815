// Package monitor serves a broker's state over HTTP, at nats-server's paths and
// with nats-server's field names, so that its tools work unchanged.
//
// Every answer is made from snapshots; no request holds a lock that traffic
// waits for.
package monitor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/coveymq/covey/dataplane/internal/account"
	"github.com/coveymq/covey/dataplane/internal/conn"
	"github.com/coveymq/covey/dataplane/internal/route"
)

// Static is what never changes while the broker runs.
type Static struct {
	ServerID, ServerName string
	Level                string // the nats-server version whose behaviour is implemented
	Version              string // our own
	Started              time.Time
}

// Server is the monitoring endpoint of one broker.
type Server struct {
	// Immutable.
	static   Static
	host     *conn.Host
	accounts *account.Registry
	mesh     *route.Mesh // nil outside of a cluster
	listener net.Listener
	http     *http.Server

	mu       sync.Mutex
	requests map[string]uint64 // by path; guarded by mu
}

// New returns a server on an open listener.
// Mesh is nil outside of a cluster.
func New(l net.Listener, host *conn.Host, accounts *account.Registry, static Static, mesh *route.Mesh) *Server {
	s := &Server{static: static, host: host, accounts: accounts, mesh: mesh, listener: l, requests: make(map[string]uint64)}
	mux := http.NewServeMux()
	s.handle(mux, "/varz", s.varz)
	s.handle(mux, "/connz", s.connz)
	s.handle(mux, "/routez", s.routez)
	s.handle(mux, "/subsz", s.subsz)
	s.handle(mux, "/subscriptionsz", s.subsz)
	s.handle(mux, "/accountz", s.accountz)
	s.handle(mux, "/accstatz", s.accstatz)
	s.handle(mux, "/healthz", s.healthz)
	mux.HandleFunc("GET /{$}", s.index)
	s.http = &http.Server{Handler: mux, ReadHeaderTimeout: readTimeout, ReadTimeout: readTimeout}
	return s
}

// readTimeout bounds how long a caller may take to ask.
const readTimeout = 5 * time.Second

// Addr is host:port of the endpoint.
func (s *Server) Addr() string { return s.listener.Addr().String() }

// Run serves until ctx ends.
func (s *Server) Run(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() { _ = s.http.Close() })
	defer stop()
	if err := s.http.Serve(s.listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve monitoring: %w", err)
	}
	return ctx.Err()
}

// Close closes the listener if Run did not.
func (s *Server) Close() error {
	if err := s.listener.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		return err
	}
	return nil
}

// handle adds a JSON endpoint. An error of answer is the caller's fault.
func (s *Server) handle(mux *http.ServeMux, path string, answer func(*http.Request) (any, error)) {
	mux.HandleFunc("GET "+path, func(w http.ResponseWriter, r *http.Request) {
		s.count(path)
		v, err := answer(r)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		b, err := json.MarshalIndent(v, "", "  ")
		if err != nil {
			http.Error(w, "the answer cannot be encoded", http.StatusInternalServerError)
			return
		}
		callback := r.URL.Query().Get("callback")
		if callback == "" {
			w.Header().Set("Content-Type", "application/json")
			_, _ = w.Write(b) // the caller left if it fails
			return
		}
		if !isFunctionName(callback) {
			http.Error(w, "callback is not the name of a function", http.StatusBadRequest)
			return
		}
		w.Header().Set("Content-Type", "application/javascript")
		_, _ = w.Write([]byte(callback + "(" + string(b) + ")")) //nolint:gosec // a function's name and JSON
	})
}

// isFunctionName keeps JSONP from being a way to write a page of one's own.
func isFunctionName(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool {
		return r != '_' && r != '$' && r != '.' && (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z')
	})
}

func (s *Server) count(path string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests[path]++
}

func (s *Server) counts() map[string]uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make(map[string]uint64, len(s.requests)+1)
	for k, v := range s.requests {
		out[k] = v
	}
	return out
}

func (s *Server) index(w http.ResponseWriter, _ *http.Request) {
	s.count("/")
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, _ = fmt.Fprintf(w, indexPage, s.static.Version, s.static.ServerName) // the caller left if it fails
}

const indexPage = `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Covey broker</title></head>
<body><h1>Covey broker %s</h1><p>%s</p><ul>
<li><a href="/varz">General</a></li>
<li><a href="/connz">Connections</a></li>
<li><a href="/routez">Routes</a></li>
<li><a href="/accountz">Accounts</a></li>
<li><a href="/accstatz">Account statistics</a></li>
<li><a href="/subsz">Subscriptions</a></li>
<li><a href="/healthz">Health</a></li>
</ul></body></html>
`

// Health is the answer of /healthz.
type Health struct {
	Status string `json:"status"`
}

func (s *Server) healthz(*http.Request) (any, error) { return Health{Status: "ok"}, nil }
