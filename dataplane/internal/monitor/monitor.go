// Package monitor serves a broker's state over HTTP, at nats-server's paths and
// with nats-server's field names, options and errors, so that its tools work
// unchanged. What is ours alone is under names that begin with covey.
//
// Every answer is made from snapshots: what is under a lock is copying numbers
// and pointers, never formatting or writing.
package monitor

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coveymq/covey/dataplane/internal/account"
	"github.com/coveymq/covey/dataplane/internal/conn"
	"github.com/coveymq/covey/dataplane/internal/route"
	"github.com/coveymq/covey/dataplane/internal/secure"
)

// Static is what never changes while the broker runs.
type Static struct {
	ServerID, ServerName string
	Level                string // the nats-server version whose behaviour is implemented
	Version              string // our own
	Started              time.Time
	// BasePath is in front of all paths, with or without slashes around it.
	BasePath string
	// Metrics answers at /metrics; nil for nobody.
	Metrics http.Handler
	// Digest is of the configuration that the broker starts with, Labels what it
	// says of the broker.
	Digest string
	Labels Labels
	// TLS serves over TLS, with the certificates for clients.
	TLS bool
}

// Labels are what people call a broker beside its name.
type Labels struct {
	Tags     []string
	Metadata map[string]string
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

	config atomic.Pointer[configured]
	cpu    cpuMeter

	mu       sync.Mutex
	requests map[string]uint64 // by path; guarded by mu
}

// configured is which configuration is in force, and since when.
type configured struct {
	at     time.Time
	digest string
	labels Labels
}

// New returns a server on an open listener, or, with none, one that answers
// requests over NATS only. Mesh is nil outside of a cluster.
func New(l net.Listener, host *conn.Host, accounts *account.Registry, static Static, mesh *route.Mesh) *Server {
	s := &Server{static: static, host: host, accounts: accounts, mesh: mesh, listener: l, requests: make(map[string]uint64)}
	s.cpu.last = static.Started
	s.Configured(static.Started, static.Digest, static.Labels)
	mux := http.NewServeMux()
	s.handle(mux, "/varz", s.varz)
	s.handle(mux, "/connz", s.connz)
	s.handle(mux, "/routez", s.routez)
	s.handle(mux, "/gatewayz", s.gatewayz)
	s.handle(mux, "/leafz", s.leafz)
	s.handle(mux, "/subsz", s.subsz)
	s.handle(mux, "/accountz", s.accountz)
	s.handle(mux, "/accstatz", s.accstatz)
	s.handle(mux, "/jsz", s.jsz)
	mux.HandleFunc("/subscriptionsz", s.counted("/subsz", s.subsz))
	mux.HandleFunc("/healthz", s.healthz)
	mux.HandleFunc("/ipqueuesz", s.ipqueuesz)
	mux.HandleFunc("/raftz", raftz)
	mux.HandleFunc("/stacksz", stacksz)
	mux.HandleFunc("/debug/vars", vars)
	mux.HandleFunc("/{$}", s.index)
	if static.Metrics != nil {
		mux.Handle("/metrics", static.Metrics)
	}
	s.http = &http.Server{
		Handler: under(static.BasePath, mux), ReadHeaderTimeout: readTimeout, ReadTimeout: readTimeout, IdleTimeout: idleTimeout,
	}
	return s
}

const (
	readTimeout = 5 * time.Second // how long a caller may take to ask
	idleTimeout = 2 * time.Minute // how long it may keep a connection between questions
)

// under serves h below a path.
func under(base string, h http.Handler) http.Handler {
	if base = strings.Trim(base, "/"); base == "" {
		return h
	}
	base = "/" + base
	below := http.StripPrefix(base, h)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == base {
			r = r.Clone(r.Context())
			r.URL.Path = base + "/"
		}
		below.ServeHTTP(w, r)
	})
}

// Configured says which configuration is in force since when.
func (s *Server) Configured(at time.Time, digest string, labels Labels) {
	s.config.Store(&configured{at: at.UTC(), digest: digest, labels: labels})
}

// Labels returns what people call the broker now.
func (s *Server) Labels() Labels { return s.config.Load().labels }

// Scheme is "http" or "https".
func (s *Server) Scheme() string {
	if s.static.TLS {
		return "https"
	}
	return "http"
}

// Addr is host:port of the endpoint; empty if there is none.
func (s *Server) Addr() string {
	if s.listener == nil {
		return ""
	}
	return s.listener.Addr().String()
}

// Run serves until ctx ends.
func (s *Server) Run(ctx context.Context) error {
	if s.listener == nil {
		<-ctx.Done()
		return ctx.Err()
	}
	stop := context.AfterFunc(ctx, func() { _ = s.http.Close() })
	defer stop()
	l := s.listener
	if s.static.TLS {
		l = tls.NewListener(l, secure.HTTPS(func() *secure.Settings { return s.host.Options().TLS }))
	}
	if err := s.http.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve monitoring: %w", err)
	}
	return ctx.Err()
}

// Close closes the listener if Run did not.
func (s *Server) Close() error {
	if s.listener == nil {
		return nil
	}
	if err := s.listener.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		return err
	}
	return nil
}

// answer makes what an endpoint says. An error is the caller's fault.
type answer func(*query) (any, error)

// handle adds an endpoint that counts its requests under its own path.
func (s *Server) handle(mux *http.ServeMux, path string, a answer) {
	mux.HandleFunc(path, s.counted(path, a))
}

func (s *Server) counted(path string, a answer) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		s.count(path)
		v, err := a(&query{values: r.URL.Query()})
		if err != nil {
			refuse(w, http.StatusBadRequest, err.Error())
			return
		}
		write(w, http.StatusOK, v, "  ")
	}
}

func refuse(w http.ResponseWriter, code int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(code)
	_, _ = w.Write([]byte(text)) // the caller left if it fails
}

// write sends v as JSON, on one line if indent is empty.
func write(w http.ResponseWriter, code int, v any, indent string) {
	var b []byte
	var err error
	if indent == "" {
		b, err = json.Marshal(v)
	} else {
		b, err = json.MarshalIndent(v, "", indent)
	}
	if err != nil {
		refuse(w, http.StatusInternalServerError, "the answer cannot be encoded")
		return
	}
	send(w, code, b)
}

// send sends an answer, with the headers of nats-server.
func send(w http.ResponseWriter, code int, body []byte) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Access-Control-Allow-Origin", "*")
	w.WriteHeader(code)
	_, _ = w.Write(body) // the caller left if it fails
}

func (s *Server) count(path string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests[path]++
}

func (s *Server) counts() map[string]uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.requests)
}
