package e2e_test

import (
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
)

// written is the answer of a write that brokers act on.
type written struct {
	Operation struct {
		Name       string
		State      string
		CreateTime time.Time `json:"create_time"`
		Brokers    []struct {
			Broker          string
			DisplayName     string `json:"display_name"`
			Acknowledged    bool
			AcknowledgeTime time.Time `json:"acknowledge_time"`
		}
	}
}

func (w written) check(t *testing.T) {
	t.Helper()
	op := w.Operation
	if !strings.HasSuffix(op.State, "ENFORCED") && !strings.HasSuffix(op.State, "DONE") {
		t.Errorf("operation = %+v", op)
	}
	if len(op.Brokers) != 1 || !op.Brokers[0].Acknowledged {
		t.Errorf("brokers = %+v, want one that acknowledged", op.Brokers)
	}
}

// disconnects is far more than the two seconds of the promise: the machine may be busy.
const disconnects = 20 * time.Second

// watched connects a client that tells when it was thrown out.
func (b *box) watched(creds string) (*nats.Conn, <-chan struct{}) {
	b.t.Helper()
	out := make(chan struct{})
	nc := b.connect(creds, nats.NoReconnect(), nats.ClosedHandler(func(*nats.Conn) { close(out) }))
	return nc, out
}

func (b *box) mustClose(what string, closed <-chan struct{}) {
	b.t.Helper()
	select {
	case <-closed:
	case <-time.After(disconnects):
		b.t.Errorf("%s: the client is still connected", what)
	}
}

func (b *box) mustRefuse(what, creds string) {
	b.t.Helper()
	nc, err := nats.Connect(b.NATSURL, nats.UserCredentials(creds), nats.MaxReconnects(0), nats.Timeout(patience))
	if err == nil {
		nc.Close()
		b.t.Errorf("%s: the client could connect", what)
		return
	}
	text := strings.ToLower(err.Error())
	for _, known := range []string{"authoriz", "authent", "maximum account active connections"} {
		if strings.Contains(text, known) {
			return
		}
	}
	b.t.Errorf("%s: refused with %v", what, err)
}

func TestSuspendedAccountIsDisconnectedAndCanBeResumed(t *testing.T) {
	h := newHome(t)
	b := h.up(anyPorts()...)
	acme, globex := h.signUp("acme"), h.signUp("globex")
	_, gone := b.watched(acme.CredsFile)
	bystander, bystanderGone := b.watched(globex.CredsFile)

	var w written
	h.coveyJSON(&w, "--context", "acme", "account", "suspend", lastID(acme.Account))
	w.check(t)
	b.mustClose("suspend", gone)
	b.mustRefuse("suspended", acme.CredsFile)

	h.coveyJSON(&w, "--context", "acme", "account", "resume", lastID(acme.Account))
	w.check(t)
	b.connect(acme.CredsFile)

	select {
	case <-bystanderGone:
		t.Error("another organization's client was disconnected")
	default:
		flush(t, bystander)
	}
}

func TestRevokedCredentialIsDisconnectedAndTheOthersStay(t *testing.T) {
	h := newHome(t)
	b := h.up(anyPorts()...)
	acme := h.signUp("acme")
	var issued struct {
		Credential struct{ Name string }
		CredsFile  string `json:"creds_file"`
	}
	h.coveyJSON(&issued, "creds", "issue", acme.User, "--out", h.dir+"/second.creds")
	if issued.CredsFile != h.dir+"/second.creds" {
		t.Errorf("issued = %+v", issued)
	}
	_, gone := b.watched(issued.CredsFile)
	stays, _ := b.watched(acme.CredsFile)

	var w written
	h.coveyJSON(&w, "creds", "revoke", issued.Credential.Name)
	w.check(t)
	b.mustClose("revoke", gone)
	b.mustRefuse("revoked", issued.CredsFile)
	flush(t, stays)
}

func TestDeletedAccountIsGone(t *testing.T) {
	h := newHome(t)
	b := h.up(anyPorts()...)
	acme := h.signUp("acme")
	_, gone := b.watched(acme.CredsFile)
	var w written
	h.coveyJSON(&w, "account", "delete", lastID(acme.Account))
	w.check(t)
	b.mustClose("delete", gone)
	b.mustRefuse("deleted", acme.CredsFile)
	h.coveyJSON(&w, "account", "undelete", lastID(acme.Account))
	w.check(t)
	back, gone := b.watched(acme.CredsFile)
	flush(t, back)
	h.coveyJSON(&w, "account", "delete", lastID(acme.Account))
	w.check(t)
	b.mustClose("delete again", gone)
	h.coveyJSON(&w, "account", "purge", lastID(acme.Account))
	w.check(t)
	b.mustRefuse("purged", acme.CredsFile)
	if o := h.run("covey", "account", "get", lastID(acme.Account)); o.code != 3 {
		t.Errorf("get after purge: %+v", o)
	}
}
