package controlplane_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/coveymq/covey/controlplane"
	"github.com/coveymq/covey/internal/errs"
	"github.com/coveymq/covey/internal/testetcd"
	apiv1 "github.com/coveymq/covey/proto/covey/api/v1"
)

func onCluster(c *testetcd.Cluster) func(*controlplane.Config) {
	return func(cfg *controlplane.Config) { cfg.Etcd.Endpoints = c.Endpoints() }
}

func (p *plane) trySignUp(t *testing.T, org string) error {
	t.Helper()
	_, err := p.as(t, p.key).orgs.SignUp(t.Context(), &apiv1.SignUpRequest{OrganizationId: org, ContactEmail: org + "@example.com"})
	return err
}

func TestAnEtcdElsewhereWithTLSAndAUser(t *testing.T) {
	files := testetcd.NewTLSFiles(t)
	c := testetcd.NewCluster(t, 3, testetcd.Options{TLS: files, User: "covey", Password: "pw"})
	p := start(t, t.TempDir(), onCluster(c), func(cfg *controlplane.Config) {
		cfg.Etcd.CAFile, cfg.Etcd.CertFile, cfg.Etcd.KeyFile = files.CA, files.ClientCert, files.ClientKey
		cfg.Etcd.User, cfg.Etcd.Password = "covey", controlplane.NewSecret("pw")
	})
	p.signUp(t, "acme")
}

func second[T any](_ T, err error) error { return err }

// Each member is killed, then paused; with a majority all is well.
func TestMembersOfEtcdMayGo(t *testing.T) {
	c := testetcd.NewCluster(t, 3, testetcd.Options{})
	p := start(t, t.TempDir(), onCluster(c))
	made := 0
	signUp := func(what string) {
		made++
		if err := p.trySignUp(t, fmt.Sprint("org", made)); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	for i, m := range c.Members {
		m.Kill(t)
		signUp(fmt.Sprintf("member %d killed", i))
		m.Start(t)
		c.Await(t)
		m.Pause(t)
		signUp(fmt.Sprintf("member %d paused", i))
		m.Resume(t)
		c.Await(t)
	}
	// All at once, for a while: slow, and nothing is lost.
	for _, m := range c.Members {
		m.Pause(t)
	}
	var wg sync.WaitGroup
	wg.Go(func() { signUp("all members slow") })
	wait, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	<-wait.Done()
	cancel()
	for _, m := range c.Members {
		m.Resume(t)
	}
	wg.Wait()
	// Without a majority: a clear answer, within the time of a call.
	c.Members[0].Kill(t)
	c.Members[1].Kill(t)
	wantError(t, p.trySignUp(t, "nobody"), errs.Unavailable, "STORE_UNAVAILABLE")
	c.Members[0].Start(t)
	c.Members[1].Start(t)
	c.Await(t)
	signUp("majority again")
	list := must[*apiv1.ListOrganizationsResponse](t, "list")(p.as(t, p.key).orgs.ListOrganizations(t.Context(), &apiv1.ListOrganizationsRequest{}))
	if len(list.GetOrganizations()) != made {
		t.Errorf("%d organizations, want %d", len(list.GetOrganizations()), made)
	}
}

func TestAFullEtcdStillReads(t *testing.T) {
	c := testetcd.NewCluster(t, 1, testetcd.Options{QuotaBytes: 4 << 20})
	p := start(t, t.TempDir(), onCluster(c))
	_, acme := p.signUp(t, "acme")
	etcd := c.Client(t)
	var err error
	for i := 0; err == nil; i++ {
		_, err = etcd.Put(t.Context(), fmt.Sprint("/junk/", i), strings.Repeat("x", 200<<10))
	}
	if !errors.Is(err, rpctypes.ErrNoSpace) {
		t.Fatal(err)
	}
	const parent = "organizations/acme"
	create := func(id string) error {
		_, err := acme.accounts.CreateAccount(t.Context(), &apiv1.CreateAccountRequest{Parent: parent, AccountId: id})
		return err
	}
	e := wantError(t, create("orders"), errs.Exhausted, "STORE_FULL")
	if !strings.Contains(e.Next, "alarm") {
		t.Errorf("no advice: %q", e.Next)
	}
	must[*apiv1.ListAccountsResponse](t, "read")(acme.accounts.ListAccounts(t.Context(), &apiv1.ListAccountsRequest{Parent: parent}))
	r, err := etcd.Delete(t.Context(), "/junk/", clientv3.WithPrefix())
	if err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{
		second(etcd.Compact(t.Context(), r.Header.GetRevision(), clientv3.WithCompactPhysical())),
		second(etcd.Defragment(t.Context(), c.Members[0].Endpoint())),
		second(etcd.AlarmDisarm(t.Context(), &clientv3.AlarmMember{})),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := create("orders"); err != nil {
		t.Errorf("after space was made: %v", err)
	}
}

func TestFlagsForEtcdThatDoNotFitAreRefused(t *testing.T) {
	for reason, etcd := range map[string]controlplane.EtcdConfig{
		"ETCD_ENDPOINTS_MISSING": {User: "covey", Password: controlplane.NewSecret("pw")},
		"ETCD_ENDPOINT_INVALID":  {Endpoints: []string{"127.0.0.1:2379"}},
		"ETCD_USER_INCOMPLETE":   {Endpoints: []string{"https://a:2379"}, User: "covey"},
		"TLS_INCOMPLETE":         {Endpoints: []string{"https://a:2379"}, CertFile: "x"},
		"PLAINTEXT_EXPOSED":      {Endpoints: []string{"http://a.example.com:2379"}, User: "covey", Password: controlplane.NewSecret("pw")},
	} {
		cfg := config(t.TempDir(), &logBuffer{})
		cfg.Etcd = etcd
		_, err := controlplane.New(t.Context(), cfg)
		var e *errs.Error
		if !errors.As(err, &e) || e.Reason != reason {
			t.Errorf("%+v: %v, want %s", etcd, err, reason)
		}
	}
}
