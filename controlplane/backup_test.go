package controlplane_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc/metadata"

	"github.com/coveymq/covey/controlplane"
	"github.com/coveymq/covey/internal/errs"
	"github.com/coveymq/covey/internal/testetcd"
	adminv1 "github.com/coveymq/covey/proto/covey/admin/v1"
	apiv1 "github.com/coveymq/covey/proto/covey/api/v1"
)

// contents reads everything but what tells of processes.
func contents(t *testing.T, etcd *clientv3.Client) (all map[string]string, revision int64) {
	t.Helper()
	r, err := etcd.Get(t.Context(), "/covey/", clientv3.WithPrefix())
	if err != nil {
		t.Fatal(err)
	}
	all = map[string]string{}
	for _, kv := range r.Kvs {
		if key := string(kv.Key); !strings.HasPrefix(key, "/covey/v1/sys/leader") && !strings.HasPrefix(key, "/covey/v1/fleet/lease/") &&
			!strings.HasPrefix(key, "/covey/v1/fleet/acks/") {
			all[key] = string(kv.Value)
		}
	}
	return all, r.Header.GetRevision()
}

func backupOf(t *testing.T, p *plane) []byte {
	t.Helper()
	var file bytes.Buffer
	if err := p.Backup(t.Context(), &file); err != nil {
		t.Fatal(err)
	}
	return file.Bytes()
}

func TestABackupRestoredIsEqual(t *testing.T) {
	from, to := testetcd.NewCluster(t, 1, testetcd.Options{}), testetcd.NewCluster(t, 3, testetcd.Options{})
	first := t.TempDir()
	p := start(t, first, onCluster(from))
	up, acme := p.signUp(t, "acme")
	for _, id := range []string{"orders", "returns"} {
		must[*apiv1.CreateAccountResponse](t, "create")(acme.accounts.CreateAccount(t.Context(), &apiv1.CreateAccountRequest{Parent: "organizations/acme", AccountId: id, RequestId: "r-" + id}))
	}
	must[*apiv1.DeleteAccountResponse](t, "delete")(acme.accounts.DeleteAccount(t.Context(), &apiv1.DeleteAccountRequest{Name: "organizations/acme/accounts/returns"}))
	if _, err := p.JoinToken(t.Context(), time.Hour); err != nil {
		t.Fatal(err)
	}
	p.stop() // so that nothing changes any more
	text, err := controlplaneBackup(t, first, from)
	if err != nil {
		t.Fatal(err)
	}
	want, revision := contents(t, from.Client(t))
	cfg := config(joining(t, first), &logBuffer{})
	onCluster(to)(&cfg)
	got, err := controlplane.Restore(t.Context(), cfg, bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	have, after := contents(t, to.Client(t))
	if d := cmp.Diff(want, have); d != "" {
		t.Errorf("restored otherwise:\n%s", d)
	}
	if after <= revision || int(got.Keys) != len(want) {
		t.Errorf("revision %d after %d; %d keys of %d", after, revision, got.Keys, len(want))
	}
	if leases, err := to.Client(t).Leases(t.Context()); err != nil || len(leases.Leases) == 0 {
		t.Errorf("what ends by itself is restored for good: %v, %v", leases, err)
	}
	if _, err := controlplane.Restore(t.Context(), cfg, bytes.NewReader(text)); errs.CodeOf(err) != errs.Precondition || !strings.Contains(err.Error(), "not empty") {
		t.Errorf("restore over a store: %v", err)
	}
	// And it is alive: keys open, requests are remembered, changes go on.
	again := start(t, joining(t, first), onCluster(to), func(cfg *controlplane.Config) { cfg.AdoptLedger = true })
	owner := again.as(t, up.GetApiKey())
	replay, err := owner.accounts.CreateAccount(t.Context(), &apiv1.CreateAccountRequest{Parent: "organizations/acme", AccountId: "orders", RequestId: "r-orders"})
	if err != nil || replay.GetAccount().GetPublicKey() == "" {
		t.Errorf("replay: %v, %v", replay, err)
	}
	must[*apiv1.UndeleteAccountResponse](t, "undelete")(owner.accounts.UndeleteAccount(t.Context(), &apiv1.UndeleteAccountRequest{Name: "organizations/acme/accounts/returns"}))
	must[*apiv1.IssueCredentialResponse](t, "issue")(owner.credentials.IssueCredential(t.Context(), &apiv1.IssueCredentialRequest{Parent: "organizations/acme/accounts/default/users/default"}))
}

// controlplaneBackup starts a control plane only to write a backup.
func controlplaneBackup(t *testing.T, dir string, c *testetcd.Cluster) ([]byte, error) {
	t.Helper()
	cfg := config(dir, &logBuffer{})
	onCluster(c)(&cfg)
	server, err := controlplane.New(t.Context(), cfg)
	if err != nil {
		return nil, err
	}
	var file bytes.Buffer
	err = errors.Join(server.Backup(t.Context(), &file), server.Close())
	return file.Bytes(), err
}

func TestADamagedBackupIsRefusedBeforeAnythingIsWritten(t *testing.T) {
	p := start(t, t.TempDir())
	p.signUp(t, "acme")
	text := backupOf(t, p)
	for name, spoil := range map[string]func([]byte) []byte{
		"cut":           func(b []byte) []byte { return b[:len(b)*2/3] },
		"end cut":       func(b []byte) []byte { return b[:len(b)-9] },
		"a bit":         func(b []byte) []byte { b[len(b)/2] ^= 4; return b },
		"something":     func([]byte) []byte { return []byte("hello\n") },
		"nothing":       func([]byte) []byte { return nil },
		"more after it": func(b []byte) []byte { return append(b, b...) },
	} {
		bad := spoil(bytes.Clone(text))
		if _, err := controlplane.VerifyBackup(bytes.NewReader(bad)); err == nil {
			t.Errorf("%s: verified", name)
		}
		dir := filepath.Join(t.TempDir(), "data")
		if _, err := controlplane.Restore(t.Context(), config(dir, &logBuffer{}), bytes.NewReader(bad)); errs.CodeOf(err) != errs.Invalid {
			t.Errorf("%s: restored, %v", name, err)
		}
		if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: something was written", name)
		}
	}
	if got, err := controlplane.VerifyBackup(bytes.NewReader(text)); err != nil || got.Keys == 0 || got.Header.Installation != p.InstallationID() {
		t.Errorf("the good one: %+v, %v", got, err)
	}
}

// A restore that was cut off leaves a store on which nothing starts.
func TestARestoreThatWasCutOffIsNoStore(t *testing.T) {
	p := start(t, t.TempDir())
	p.signUp(t, "acme")
	text := backupOf(t, p)
	c := testetcd.NewCluster(t, 1, testetcd.Options{})
	etcd := c.Client(t)
	if _, err := etcd.Put(t.Context(), "/covey/v1/sys/restore", "{}"); err != nil {
		t.Fatal(err)
	}
	cfg := config(t.TempDir(), &logBuffer{})
	onCluster(c)(&cfg)
	_, err := controlplane.New(t.Context(), cfg)
	var e *errs.Error
	if !errors.As(err, &e) || e.Reason != "RESTORE_UNFINISHED" {
		t.Errorf("start: %v", err)
	}
	if _, err := controlplane.Restore(t.Context(), cfg, bytes.NewReader(text)); !errors.As(err, &e) || e.Reason != "STORE_NOT_EMPTY" {
		t.Errorf("restore again: %v", err)
	}
}

func TestOnlyTheOperatorTakesBackups(t *testing.T) {
	p := start(t, t.TempDir())
	up, acme := p.signUp(t, "acme")
	call := func(key string) error {
		ctx := metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer "+key)
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		client := adminv1.NewMaintenanceServiceClient(acme.conn)
		stream, err := client.Backup(ctx, &adminv1.BackupRequest{})
		if err != nil {
			return err
		}
		for err == nil {
			_, err = stream.Recv()
		}
		return err
	}
	wantError(t, call(up.GetApiKey()), errs.Denied, "ROLE_DENIED")
	wantError(t, call("nonsense"), errs.Unauthenticated, "API_KEY_INVALID")
	if err := call(p.key); err == nil || err.Error() != "EOF" {
		t.Errorf("operator: %v", err)
	}
	ctx := metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer "+p.key)
	stream, err := adminv1.NewMaintenanceServiceClient(acme.conn).VerifyAudit(ctx, &adminv1.VerifyAuditRequest{})
	if err != nil {
		t.Fatal(err)
	}
	logs := 0
	for v, err := stream.Recv(); err == nil; v, err = stream.Recv() {
		logs++
		if v.GetProblem() != "" || v.GetEntries() == 0 {
			t.Errorf("log %v", v)
		}
	}
	if logs != 2 {
		t.Errorf("%d logs", logs)
	}
}
