package e2e_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/coveymq/covey/internal/testetcd"
	"github.com/coveymq/covey/internal/testpostgres"
)

// control is a control plane, a process that can be stopped and started again at
// the same addresses.
type control struct {
	h                      *home
	daemon                 daemon
	dir                    string
	api, rest, fleet, otlp string
	ledgerURL              string // the file
	key                    string // file of the operator's API key, which the first start of all writes
}

// control gives the n-th control plane its place. The key that seals secrets
// comes from the first, which has run.
func (h *home) control(n int, ledgerURL string) *control {
	h.t.Helper()
	c := &control{
		h: h, dir: filepath.Join(h.dir, fmt.Sprint("control", n)), ledgerURL: ledgerURL, key: filepath.Join(h.dir, "operator.key"),
		api: freeAddr(h.t), rest: freeAddr(h.t), fleet: freeAddr(h.t), otlp: freeAddr(h.t),
	}
	if err := os.MkdirAll(c.dir, 0o700); err != nil {
		h.t.Fatal(err)
	}
	if n > 0 {
		key, err := os.ReadFile(filepath.Join(h.dir, "control0", "custody.key"))
		if err != nil {
			h.t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(c.dir, "custody.key"), key, 0o600); err != nil {
			h.t.Fatal(err)
		}
	}
	return c
}

func (c *control) tokenFile() string  { return filepath.Join(c.dir, "join.token") }
func (c *control) publicFile() string { return filepath.Join(c.dir, "operator.pub") }

// start starts the process on an etcd, and returns when it lets a broker join.
func (c *control) start(etcd []string) {
	c.h.t.Helper()
	_ = os.Remove(c.tokenFile()) // of the start before, if there was one
	c.daemon = c.h.daemon("covey-controlplane", append([]string{
		"-data", c.dir, "-api", c.api, "-http", c.rest, "-fleet", c.fleet, "-otlp", c.otlp, "-ledger-url-file", c.ledgerURL,
		"-operator-key-file", c.key, "-join-token-file", c.tokenFile(), "-operator-public-key-file", c.publicFile(),
	}, etcd...)...)
	c.h.content(c.tokenFile())
}

// end ends the process by a signal, and returns when it is gone.
func (c *control) end(sig os.Signal) {
	c.h.t.Helper()
	if err := c.daemon.cmd.Process.Signal(sig); err != nil {
		c.h.t.Fatal(err)
	}
	if err := c.daemon.wait(); err != nil && sig != syscall.SIGKILL {
		c.h.t.Errorf("a control plane ended with %v", err)
	}
}

// etcdLogin is who the control planes are to an etcd.
const etcdLogin = "covey"

// installation is what an operator runs who wants nothing to stop it: an etcd of
// three members with TLS and users, a ledger in Postgres, two control planes and
// three brokers that are one cluster.
type installation struct {
	*home

	etcd      *testetcd.Cluster
	etcdFlags []string
	ledgerURL string
	controls  []*control
	brokers   []*brokerProcess
}

func newInstallation(t *testing.T) *installation {
	t.Helper()
	in := &installation{home: newHome(t)}
	in.ledgerURL = in.secretFile("ledger.url", testpostgres.Start(t).Database(t))
	in.etcd, in.etcdFlags = in.newEtcd()
	for n := range 2 {
		in.controls = append(in.controls, in.control(n, in.ledgerURL))
		in.controls[n].start(in.etcdFlags)
		in.staff(n)
	}
	ports := []int{freePort(t), freePort(t), freePort(t)}
	in.enrol(in.controls[0], in.content(in.controls[0].tokenFile()), ports[0], ports[1])
	in.enrol(in.controls[1], in.content(in.controls[1].tokenFile()), ports[1], ports[0])
	third := strings.TrimSpace(in.covey("admin", "broker", "join-token", "--ttl", "5m", "--context", "staff1"))
	in.enrol(in.controls[0], third, ports[2], ports[0])
	t.Cleanup(func() {
		for _, b := range in.brokers {
			checkNoSecrets(t, b.log.String())
		}
	})
	return in
}

// secretFile keeps a secret where programs are told of it.
func (h *home) secretFile(name, text string) string {
	h.t.Helper()
	path := filepath.Join(h.dir, name)
	if err := os.WriteFile(path, []byte(text+"\n"), 0o600); err != nil {
		h.t.Fatal(err)
	}
	return path
}

// newEtcd starts an empty etcd, and returns the flags of control planes that use
// it. Those of `covey admin restore` are the same with two hyphens.
func (in *installation) newEtcd() (*testetcd.Cluster, []string) {
	in.t.Helper()
	const password = "of-covey-in-etcd"
	files := testetcd.NewTLSFiles(in.t)
	etcd := testetcd.NewCluster(in.t, 3, testetcd.Options{TLS: files, User: etcdLogin, Password: password})
	return etcd, []string{
		"--etcd-endpoints", strings.Join(etcd.Endpoints(), ","), "--etcd-ca", files.CA, "--etcd-cert", files.ClientCert, "--etcd-key", files.ClientKey,
		"--etcd-user", etcdLogin, "--etcd-password-file", in.secretFile("etcd.password", password),
	}
}

// staff makes the context of the operator's staff at the n-th control plane, and
// returns when that answers.
func (in *installation) staff(n int) {
	in.t.Helper()
	c := in.controls[n]
	in.covey("context", "add", fmt.Sprint("staff", n), "--operator", "--use", "--api-addr", c.api, "--http-url", "http://"+c.rest,
		"--nats-url", "nats://127.0.0.1:4222", "--api-key-file", c.key)
	eventually(in.t, "the API answers", func() bool { return in.run("covey", "org", "list").code == 0 })
}

// enrol runs one more broker. It knows all control planes, and reports to one.
func (in *installation) enrol(at *control, token string, routePort, seedPort int) {
	in.t.Helper()
	var fleets []string
	for _, c := range in.controls {
		fleets = append(fleets, c.fleet)
	}
	e := enrolment{fleet: strings.Join(fleets, ","), otlp: at.otlp, operator: in.content(at.publicFile()), token: token}
	in.brokers = append(in.brokers, e.join(in.t, fmt.Sprint("broker-", len(in.brokers)+1), routePort, seedPort))
}
