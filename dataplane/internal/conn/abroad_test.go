package conn_test

import (
	"encoding/json"
	"strings"
	"sync"
	"testing"

	"github.com/coveymq/covey/dataplane/internal/account"
	"github.com/coveymq/covey/dataplane/internal/conn"
)

// traces keeps the events of traced messages.
type traces struct {
	mu  sync.Mutex
	all []string // guarded by mu
}

func (tr *traces) PublishTrace(_ *account.Account, _, _ string, event *conn.MessageTrace) {
	text, _ := json.Marshal(event.Events) // all of it can be written
	tr.mu.Lock()
	defer tr.mu.Unlock()
	tr.all = append(tr.all, string(text))
}

// A trace tells that another account imports the message, and of its clients only
// if that account allows it.
func TestATraceEndsAtTheEdgeOfAnAccount(t *testing.T) {
	for _, allow := range []bool{false, true} {
		tr := &traces{}
		s := newSharers(t, func(h *conn.Host) { h.Tracer = tr })
		s.to.Claims.Imports[0].AllowTrace = s.to.Claims.Imports[0].IsStream() && allow
		s.to.Claims.Imports[1].AllowTrace = s.to.Claims.Imports[1].IsStream() && allow
		s.put(s.to)
		s.c.send("SUB s.> 1\r\nPING\r\n")
		s.c.expect("PONG")
		s.p.send("HPUB s.a 35 36\r\nNATS/1.0\r\nNats-Trace-Dest: here\r\n\r\nx\r\nPING\r\n")
		s.p.expect("PONG")
		s.c.expect("HMSG s.a 1 35 36", "NATS/1.0", "Nats-Trace-Dest: here", "", "x")
		tr.mu.Lock()
		got := strings.Join(tr.all, "\n")
		tr.mu.Unlock()
		if !strings.Contains(got, `"type":"se"`) || !strings.Contains(got, s.to.Key) {
			t.Errorf("no importer in %s", got)
		}
		if strings.Contains(got, `"type":"eg"`) != allow {
			t.Errorf("allowed %v: %s", allow, got)
		}
	}
}
