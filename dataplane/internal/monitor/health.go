package monitor

import (
	"errors"
	"fmt"
	"net/http"
)

// errNotLeader is how /jsz answers who wants to hear the leader only.
var errNotLeader = errors.New("filtered response: not leader")

// Health is the answer of /healthz.
type Health struct {
	Status string          `json:"status"`
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
	code, kind, problem := s.health(q)
	h := Health{Status: "ok"}
	switch {
	case problem == "":
	case details:
		h = Health{Status: "error", Errors: []HealthProblem{{Type: kind, Error: problem}}}
	default:
		h = Health{Status: "error", Error: problem}
	}
	write(w, code, h, "")
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
