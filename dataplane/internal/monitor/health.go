package monitor

import (
	"errors"
	"fmt"
	"net/http"
)

// ErrNotLeader is how /jsz answers who wants to hear the leader only. Over NATS
// that is not answered.
var ErrNotLeader = errors.New("filtered response: not leader")

// Health is the answer of /healthz.
type Health struct {
	Status string          `json:"status"`
	Code   int             `json:"status_code,omitempty"` // not over HTTP, which has its own
	Error  string          `json:"error,omitempty"`
	Errors []HealthProblem `json:"errors,omitempty"`
}

// HealthProblem is one thing that is wrong, when details are asked for.
type HealthProblem struct {
	Type  string `json:"type"`
	Error string `json:"error"`
}

// Kinds of problems.
const (
	problemConnection = "CONNECTION"
	problemRequest    = "BAD_REQUEST"
)

func (s *Server) healthz(w http.ResponseWriter, r *http.Request) {
	s.count("/healthz")
	q := &query{values: r.URL.Query()}
	for _, name := range [...]string{"js-enabled", "js-enabled-only", "js-server-only", "js-meta-only"} {
		q.boolean(name)
	}
	details := q.boolean("details")
	if q.err != nil {
		refuse(w, http.StatusBadRequest, q.err.Error())
		return
	}
	h := s.healthOf(q, details)
	code := h.Code
	h.Code = 0
	write(w, code, h, "")
}

// healthStatus is the same for a request over NATS.
func (s *Server) healthStatus(q *query) (any, error) {
	return s.healthOf(q, q.boolean("details")), q.err
}

func (s *Server) healthOf(q *query, details bool) Health {
	code, kind, problem := s.health(q)
	h := Health{Status: "ok", Code: code}
	switch {
	case problem == "":
	case details:
		h.Status, h.Errors = "error", []HealthProblem{{Type: kind, Error: problem}}
	default:
		h.Status, h.Error = "error", problem
	}
	return h
}

// health returns what is wrong, if anything. Streams, which a broker without
// them does not have, are never ill, as in nats-server.
func (s *Server) health(q *query) (code int, kind, problem string) {
	switch {
	case q.text("account") == "" && q.text("stream") != "":
		return http.StatusBadRequest, problemRequest, fmt.Sprintf("%q must not be empty when checking stream health", "account")
	case q.text("stream") == "" && q.text("consumer") != "":
		return http.StatusBadRequest, problemRequest, fmt.Sprintf("%q must not be empty when checking consumer health", "stream")
	case s.host.Leaving():
		return http.StatusInternalServerError, problemConnection, "not ready for connections: the server is in lame duck mode"
	}
	return http.StatusOK, "", ""
}
