package e2e_test

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/coveymq/covey/internal/testetcd"
)

// endsAnAccount deletes an account, takes that back, and ends it for good.
func (l *life) endsAnAccount() {
	l.t.Helper()
	in := func(args ...string) []string { return as(l.acme, args...) }
	creds := filepath.Join(l.dir, "orders.creds")
	l.covey(in("account", "create", "orders", "--delete-protection")...)
	l.covey(in("user", "create", "app", "--account", "orders")...)
	l.covey(in("creds", "issue", "app", "--account", "orders", "--out", creds)...)
	before := l.covey(in("account", "get", "orders")...)
	if o := l.run("covey", in("account", "delete", "orders")...); o.code == 0 || !strings.Contains(o.stderr, "protect") {
		l.t.Errorf("a protected account is deleted: %d %s", o.code, o.stderr)
	}
	l.covey(in("account", "update", "orders", "--delete-protection=false")...)

	deleted := func(clients []*nats.Conn) {
		l.t.Helper()
		var w written
		l.coveyJSON(&w, in("account", "delete", "orders")...)
		w.checkAll(l.t, len(l.brokers))
		for i, nc := range clients {
			eventually(l.t, l.brokers[i].name+" throws the account's client out", nc.IsClosed)
		}
		l.refusedEverywhere("deleted", creds)
	}
	deleted(l.onEach(creds))
	if now, gone := l.covey(in("account", "list")...), l.covey(in("account", "list", "--deleted")...); strings.Contains(now, "orders") || !strings.Contains(gone, "orders") {
		l.t.Errorf("listed is %s, and with what is deleted %s", now, gone)
	}
	l.tell("an account that is protected cannot be deleted; without, it is: its clients are gone from every broker, and it can be had back")
	l.covey(in("account", "undelete", "orders")...)
	back := l.onEach(creds)
	reached(l.t, back[0], back[2])
	if after := l.covey(in("account", "get", "orders")...); keyIn(after) != keyIn(before) {
		l.t.Errorf("another account came back: %s was %s", after, before)
	}
	l.tell("it is undeleted: the same key, and the same credentials connect at every broker")
	deleted(back)
	var w written
	l.coveyJSON(&w, in("account", "purge", "orders")...)
	w.checkAll(l.t, len(l.brokers))
	if o := l.run("covey", in("account", "get", "orders")...); o.code != 3 {
		l.t.Errorf("a purged account: %+v", o)
	}
	if o := l.run("covey", in("account", "undelete", "orders")...); o.code == 0 {
		l.t.Error("a purged account comes back")
	}
	l.refusedEverywhere("purged", creds)
	l.flows()
	l.tell("it is deleted again and purged: every broker says so, and it does not come back")
}

// keyIn is the public key in what `covey account get` shows people.
func keyIn(shown string) string {
	for word := range strings.FieldsSeq(shown) {
		if len(word) == 56 && word[0] == 'A' {
			return word
		}
	}
	return "no key in: " + shown
}

// losesTheStore takes a backup, ends the control planes, destroys etcd, and
// restores the backup into another one, on which everything goes on.
func (l *life) losesTheStore() {
	l.t.Helper()
	var was, is map[string]any
	eventually(l.t, "the audit logs are whole", func() bool { return l.run("covey", staff(1, "admin", "audit", "verify")...).code == 0 })
	saw := l.view()
	file := filepath.Join(l.dir, "store.backup")
	l.covey(staff(1, "admin", "backup", file)...)
	for _, c := range l.controls { // at once: what is written after a backup is not in it
		c.end(syscall.SIGKILL)
	}
	l.coveyJSON(&was, "admin", "verify", file)
	l.tell("a backup is taken of the running control plane, and verified: %v keys, %v", was["keys"], was["records"])
	old := l.contents(l.etcd, int64(was["revision"].(float64)))
	for _, m := range l.etcd.Members {
		m.Kill(l.t)
	}
	l.flows()
	l.tell("all control planes are killed, and etcd is lost for good: brokers and clients go on")

	l.etcd, l.etcdFlags = l.newEtcd()
	l.coveyJSON(&is, append([]string{"admin", "restore", file, "--data", filepath.Join(l.dir, "restoring")}, l.etcdFlags...)...)
	if d := cmp.Diff(was, is); d != "" {
		l.t.Errorf("restored - was, + is:\n%s", d)
	}
	restored := l.contents(l.etcd, 0)
	if d := cmp.Diff(old, restored); d != "" {
		l.t.Errorf("the restored store - was, + is:\n%s", d)
	}
	l.tell("it is restored into an empty etcd of 3 members: %d keys compared one by one with those of the lost one, all equal", len(restored))
	for _, c := range l.controls {
		c.start(l.etcdFlags)
	}
	eventually(l.t, "the API answers", func() bool { return l.run("covey", staff(1, "org", "list")...).code == 0 })
	// Brokers say again what they enforce; until then operations are running.
	d, tick := cmp.Diff(saw, l.view()), time.NewTicker(100*time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(patience); d != "" && time.Now().Before(end); d = cmp.Diff(saw, l.view()) {
		<-tick.C
	}
	if d != "" {
		l.t.Errorf("shown - was, + is:\n%s", d)
	}
	l.tell("both control planes start on it, and the command line shows the same: %d lists and views, but for etags", len(saw))
	var w written
	l.coveyJSON(&w, as(l.acme, "user", "resume", "settler", "--account", "default")...)
	w.checkAll(l.t, len(l.brokers))
	eventually(l.t, "the audit logs are whole after the restore", func() bool { return l.run("covey", staff(0, "admin", "audit", "verify")...).code == 0 })
	l.tell("a change is in force on every broker, and the chains of the audit logs go on from before the restore")
}

// contents are all keys of the control planes in an etcd at a revision, 0 being
// the present one, but for what tells of processes that run: leases, the election,
// and what brokers had acknowledged, which does not count in a restored store.
func (l *life) contents(etcd *testetcd.Cluster, revision int64) map[string]string {
	l.t.Helper()
	const prefix = "/covey/"
	r, err := etcd.Client(l.t).Get(l.t.Context(), prefix, clientv3.WithPrefix(), clientv3.WithRev(revision))
	if err != nil {
		l.t.Fatal(err)
	}
	all := map[string]string{}
	for _, kv := range r.Kvs {
		key, _ := strings.CutPrefix(string(kv.Key), prefix+"v1/")
		value := string(kv.Value)
		switch {
		case strings.HasPrefix(key, "sys/leader"), strings.HasPrefix(key, "fleet/lease/"), strings.HasPrefix(key, "fleet/acks/"):
			continue
		case strings.HasPrefix(key, "fleet/broker/"):
			value = without(l, value, "acked_revision", "ack_time", "session")
		}
		all[key] = value
	}
	return all
}

// views are the commands that show all that there is.
func views(org string) [][]string {
	all := [][]string{{"org", "get", org}}
	for _, noun := range []string{"account", "serviceaccount", "apikey", "member", "operation", "audit", "share"} {
		all = append(all, []string{noun, "list", "--org", org})
	}
	for _, noun := range []string{"user", "role", "export", "import"} {
		all = append(all, []string{noun, "list", "--org", org, "--account", "default"})
	}
	return append(all, []string{"share", "offers", "--org", org, "--account", "default"},
		[]string{"creds", "list", fmt.Sprintf("organizations/%s/accounts/default/users/default", org)})
}

// view is what the command line shows of everything, but for what is new in each
// etcd (etags, revisions, when brokers acknowledged) and what goes on: until when
// brokers may serve, and what they tell of clients that they saw or refused.
func (l *life) view() map[string]string {
	l.t.Helper()
	commands := append(views("acme"), views("globex")...)
	commands = append(commands, []string{"org", "list"}, []string{"admin", "plan", "list"}, []string{"admin", "operator", "show"}, []string{"admin", "fleet-ca", "status"})
	all := map[string]string{}
	for _, c := range commands {
		name := strings.Join(c, " ")
		all[name] = without(l, l.covey(append(staff(1, c...), "--json")...), "etag", "revision", "acknowledge_time", "serve_until_time", "last_used_time", "last_seen_time")
	}
	return all
}

// without takes fields out of a JSON text, wherever they are, and entries of
// brokers out of audit logs.
func without(l *life, text string, fields ...string) string {
	l.t.Helper()
	var v any
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		l.t.Fatalf("%q: %v", text, err)
	}
	var strip func(v any)
	strip = func(v any) {
		switch v := v.(type) {
		case map[string]any:
			for _, f := range fields {
				delete(v, f)
			}
			if entries, is := v["entries"].([]any); is {
				v["entries"] = slices.DeleteFunc(entries, func(e any) bool { return e.(map[string]any)["actor"] == "brokers" })
			}
			for _, in := range v {
				strip(in)
			}
		case []any:
			for _, in := range v {
				strip(in)
			}
		}
	}
	strip(v)
	out, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		l.t.Fatal(err)
	}
	return string(out)
}
