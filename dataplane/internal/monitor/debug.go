package monitor

import (
	"encoding/json"
	"net/http"
	"os"
	"runtime"
)

// stackMin and stackMax bound the memory for all goroutines' stacks.
const (
	stackMin = 64 << 10
	stackMax = 256 << 20
)

// stacksz writes the stacks of all goroutines. They are text, under the content
// type that nats-server gives them.
func stacksz(w http.ResponseWriter, _ *http.Request) {
	for size := stackMin; ; size *= 4 {
		b := make([]byte, size)
		if n := runtime.Stack(b, true); n < size || size >= stackMax {
			send(w, http.StatusOK, b[:n])
			return
		}
	}
}

// Vars is the answer of /debug/vars: what package expvar publishes by itself,
// but for the arguments of the command, which may hold a password.
type Vars struct {
	CommandLine []string          `json:"cmdline"`
	MemStats    *runtime.MemStats `json:"memstats"`
}

func vars(w http.ResponseWriter, _ *http.Request) {
	v := Vars{CommandLine: os.Args[:1], MemStats: new(runtime.MemStats)}
	runtime.ReadMemStats(v.MemStats)
	b, err := json.Marshal(v)
	if err != nil {
		refuse(w, http.StatusInternalServerError, "the answer cannot be encoded")
		return
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	_, _ = w.Write(b) // the caller left if it fails
}

// ipqueuesz tells of queues inside the server. There are none between a
// connection and its destinations.
func (s *Server) ipqueuesz(w http.ResponseWriter, r *http.Request) {
	q := &query{values: r.URL.Query()}
	if q.boolean("all"); q.err != nil {
		refuse(w, http.StatusBadRequest, q.err.Error())
		return
	}
	write(w, http.StatusOK, map[string]struct{}{}, "   ")
}

// raftz answers as nats-server does without streams.
func raftz(w http.ResponseWriter, _ *http.Request) {
	refuse(w, http.StatusNotFound, "No Raft nodes registered")
}
