package e2e_test

import (
	"path/filepath"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
)

// roleView is what of a role matters here.
type roleView struct {
	Keys []struct {
		PublicKey string `json:"public_key"`
		State     string `json:"state"`
	} `json:"keys"`
}

func (r roleView) key(state string) string {
	for _, k := range r.Keys {
		if k.State == "STATE_"+state {
			return k.PublicKey
		}
	}
	return ""
}

// rotates gives acme's role another signing key, while clients of what the old
// one signed stay connected, and connect.
func (l *life) rotates() {
	l.t.Helper()
	var gone []<-chan struct{}
	for _, nc := range l.oldClients {
		out := make(chan struct{})
		nc.SetClosedHandler(func(*nats.Conn) { close(out) })
		gone = append(gone, out)
	}
	var staged struct {
		written

		Role roleView
	}
	l.coveyJSON(&staged, as(l.acme, "key", "stage", "default", "--account", "default")...)
	staged.checkAll(l.t, len(l.brokers))
	l.oldKey = staged.Role.key("ACTIVE")
	l.covey(as(l.acme, "key", "promote", "default", "--account", "default")...)
	fresh := filepath.Join(l.dir, "fresh.creds")
	l.issue(l.acme, "default", fresh)
	l.ours = l.onEach(fresh, l.stays())
	for i, nc := range l.oldClients {
		reached(l.t, nc, l.ours[(i+1)%len(l.ours)])
		select {
		case <-gone[i]:
			l.t.Errorf("a client at %s was disconnected by the rotation", l.brokers[i].name)
		default:
		}
	}
	for _, nc := range l.onEach(l.acme.CredsFile) { // what the old key signed still connects
		nc.Close()
	}
	o := l.run("covey", as(l.acme, "key", "retire", "default", l.oldKey, "--account", "default")...)
	if o.code == 0 || !strings.Contains(o.stderr, "depend") {
		l.t.Errorf("a key that is in use is retired: %d %s", o.code, o.stderr)
	}
	l.tell("another signing key is staged, acknowledged by every broker, and promoted: what both signed connects and talks, nobody was disconnected, and the old key cannot be retired while a credential depends on it")
}

// retires ends the old key, which nothing depends on any more.
func (l *life) retires() {
	l.t.Helper()
	var retired written
	l.coveyJSON(&retired, as(l.acme, "key", "retire", "default", l.oldKey, "--account", "default")...)
	retired.checkAll(l.t, len(l.brokers))
	l.flows()
	l.tell("nothing depends on the old signing key any more: it is retired at every broker, and clients of the new one do not notice")
}

// checkAll checks that as many brokers acknowledged.
func (w written) checkAll(t interface {
	Helper()
	Errorf(format string, args ...any)
}, brokers int,
) {
	t.Helper()
	op := w.Operation
	if !strings.HasSuffix(op.State, "ENFORCED") && !strings.HasSuffix(op.State, "DONE") {
		t.Errorf("operation = %+v", op)
	}
	if len(op.Brokers) != brokers {
		t.Errorf("brokers = %+v, want %d", op.Brokers, brokers)
	}
	for _, b := range op.Brokers {
		if !b.Acknowledged || b.AcknowledgeTime.Before(op.CreateTime.Add(-time.Second)) {
			t.Errorf("%s gave no proof: %+v", b.DisplayName, b)
		}
	}
}

// settles returns when every broker has a control plane again.
func (l *life) settles() {
	l.t.Helper()
	var w written
	l.coveyJSON(&w, as(l.acme, "user", "create", "settler", "--account", "default")...)
	l.coveyJSON(&w, as(l.acme, "user", "suspend", "settler", "--account", "default")...)
	w.checkAll(l.t, len(l.brokers))
	l.tell("a change made at the control plane that is left is in force on every broker")
}

// revokes revokes a credential, in an emergency: clients that use it at every
// broker are thrown out, and each broker says when it began to refuse it.
func (l *life) revokes(when, name, creds string) {
	l.t.Helper()
	closed := make([]chan time.Time, len(l.brokers))
	for i, nc := range l.onEach(creds) {
		out := make(chan time.Time, 1)
		nc.SetClosedHandler(func(*nats.Conn) { out <- time.Now() })
		closed[i] = out
	}
	var w written
	began := time.Now()
	l.coveyJSON(&w, as(l.acme, "creds", "revoke", name, "--account", "default", "--reason", "it leaked")...)
	returned := time.Since(began)
	w.checkAll(l.t, len(l.brokers))
	var last time.Duration
	for i, b := range l.brokers {
		select {
		case at := <-closed[i]:
			l.t.Logf("             %s threw its client out %s after the command began", b.name, at.Sub(began).Round(time.Millisecond))
			last = max(last, at.Sub(began))
		case <-time.After(patience):
			l.t.Fatalf("%s did not throw its client out", b.name)
		}
	}
	for _, b := range w.Operation.Brokers {
		l.t.Logf("             proof: %s (%s) acknowledged %s after the command began", b.DisplayName, b.Broker, b.AcknowledgeTime.Sub(began).Round(time.Millisecond))
	}
	l.refusedEverywhere("revoked", creds)
	l.flows()
	l.tell("a leaked credential is revoked while %s: in force on all %d brokers %s after the command began, proven after %s", when, len(l.brokers), last.Round(time.Millisecond), returned.Round(time.Millisecond))
}
