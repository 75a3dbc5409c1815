package etcdclient_test

import (
	"context"
	"crypto/tls"
	"errors"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/coveymq/covey/internal/errs"
	"github.com/coveymq/covey/internal/etcdclient"
	"github.com/coveymq/covey/internal/testetcd"
	"github.com/coveymq/covey/internal/testleak"
)

func TestMain(m *testing.M) {
	testetcd.Main()
	testleak.Main(m)
}

func dial(t *testing.T, cfg etcdclient.Config) *clientv3.Client {
	t.Helper()
	client, err := etcdclient.Dial(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	return client
}

func reason(err error) string {
	var e *errs.Error
	if !errors.As(err, &e) {
		return ""
	}
	return e.Reason
}

// Every member in turn does not answer; no read fails.
func TestReadsAreAnsweredBesideAMemberThatHangs(t *testing.T) {
	c := testetcd.NewCluster(t, 3, testetcd.Options{})
	client := dial(t, etcdclient.Config{Endpoints: c.Endpoints()})
	if _, err := client.Put(t.Context(), "/covey/k", "v"); err != nil {
		t.Fatal(err)
	}
	for i, m := range c.Members {
		m.Pause(t)
		for range 2 {
			got, err := client.Get(t.Context(), "/covey/k")
			if err != nil || len(got.Kvs) != 1 {
				t.Errorf("member %d hangs: %v", i, err)
			}
			read, err := client.Txn(t.Context()).Then(clientv3.OpGet("/covey/k"), clientv3.OpGet("/covey/l")).Commit()
			if err != nil || len(read.Responses) != 2 {
				t.Errorf("member %d hangs: %v", i, err)
			}
		}
		if _, err := client.Grant(t.Context(), 60); err != nil {
			t.Errorf("lease, member %d hangs: %v", i, err)
		}
		m.Resume(t)
		c.Await(t)
	}
}

func TestAReadWithoutAMajorityEnds(t *testing.T) {
	c := testetcd.NewCluster(t, 3, testetcd.Options{})
	client := dial(t, etcdclient.Config{Endpoints: c.Endpoints()})
	c.Members[0].Kill(t)
	c.Members[1].Pause(t)
	if _, err := client.Get(t.Context(), "/covey/k"); !errors.Is(err, etcdclient.ErrNoAnswer) {
		t.Errorf("read: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := client.Get(ctx, "/covey/k"); !errors.Is(err, context.Canceled) {
		t.Errorf("read of a caller that is gone: %v", err)
	}
	c.Members[1].Resume(t)
	c.Await(t)
	if _, err := client.Get(t.Context(), "/covey/k"); err != nil {
		t.Errorf("read with a majority again: %v", err)
	}
}

func TestTheRefusalsSayWhatIsWrong(t *testing.T) {
	files := testetcd.NewTLSFiles(t)
	c := testetcd.NewCluster(t, 1, testetcd.Options{TLS: files})
	root := c.Client(t)
	for _, do := range []func() error{
		func() error { _, err := root.RoleAdd(t.Context(), "root"); return err },
		func() error { _, err := root.UserAdd(t.Context(), "root", "rootpw"); return err },
		func() error { _, err := root.UserGrantRole(t.Context(), "root", "root"); return err },
		func() error { _, err := root.UserAdd(t.Context(), "covey", "good"); return err },
		func() error { _, err := root.UserAdd(t.Context(), "stranger", "good"); return err },
		func() error { _, err := root.RoleAdd(t.Context(), "covey"); return err },
		func() error {
			_, err := root.RoleGrantPermission(t.Context(), "covey", "/covey/", clientv3.GetPrefixRangeEnd("/covey/"), clientv3.PermissionType(clientv3.PermReadWrite))
			return err
		},
		func() error { _, err := root.UserGrantRole(t.Context(), "covey", "covey"); return err },
		func() error { _, err := root.AuthEnable(t.Context()); return err },
	} {
		if err := do(); err != nil {
			t.Fatal(err)
		}
	}
	cert, err := tls.LoadX509KeyPair(files.ClientCert, files.ClientKey)
	if err != nil {
		t.Fatal(err)
	}
	//nolint:gosec // the test is of who we are, not of who etcd is
	secure := &tls.Config{Certificates: []tls.Certificate{cert}, InsecureSkipVerify: true, MinVersion: tls.VersionTLS12}
	good := etcdclient.Config{Endpoints: c.Endpoints(), TLS: secure, User: "covey", Password: "good"}
	client := dial(t, good)
	if _, err := client.Put(t.Context(), "/covey/k", "v"); err != nil {
		t.Errorf("write: %v", err)
	}
	for name, spoil := range map[string]func(*etcdclient.Config){
		"wrong password": func(c *etcdclient.Config) { c.Password = "bad" },
		"no user":        func(c *etcdclient.Config) { c.User, c.Password = "", "" },
		"no permission":  func(c *etcdclient.Config) { c.User = "stranger" },
	} {
		cfg := good
		spoil(&cfg)
		if _, err := etcdclient.Dial(t.Context(), cfg); reason(err) != "ETCD_DENIED" {
			t.Errorf("%s: %v", name, err)
		}
	}
	cfg := good
	cfg.TLS = secure.Clone()
	cfg.TLS.Certificates = nil
	if _, err := etcdclient.Dial(t.Context(), cfg); reason(err) != "ETCD_UNAVAILABLE" {
		t.Errorf("no certificate: %v", err)
	}
}
