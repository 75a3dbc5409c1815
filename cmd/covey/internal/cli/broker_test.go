package cli_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	adminv1 "github.com/coveymq/covey/proto/covey/admin/v1"
)

const (
	brokerOne = "brk_00000000000000000000000000000001"
	brokerTwo = "brk_00000000000000000000000000000002"
	brokerOld = "brk_00000000000000000000000000000003"
)

// fakeFleet is the part of the fake control plane that the operator's staff call.
type fakeFleet struct {
	adminv1.UnimplementedBrokerServiceServer

	mu    sync.Mutex
	asked []proto.Message // guarded by mu: changes
}

func (f *fakeFleet) brokers() []*adminv1.Broker {
	return []*adminv1.Broker{
		{Name: "brokers/" + brokerOne, ServerName: "nats-1", State: adminv1.Broker_STATE_SERVING, Version: "1.2.3", Connections: 42, Accounts: 7, AcknowledgedRevision: 812, LastContactTime: timestamppb.New(testTime)},
		{Name: "brokers/" + brokerTwo, ServerName: "twin", State: adminv1.Broker_STATE_SERVING},
		{Name: "brokers/" + brokerOld, ServerName: "twin", State: adminv1.Broker_STATE_SERVING},
	}
}

func (f *fakeFleet) ListBrokers(context.Context, *adminv1.ListBrokersRequest) (*adminv1.ListBrokersResponse, error) {
	return &adminv1.ListBrokersResponse{Brokers: f.brokers()}, nil
}

func (f *fakeFleet) GetBroker(_ context.Context, r *adminv1.GetBrokerRequest) (*adminv1.GetBrokerResponse, error) {
	b, err := f.find(r.GetName(), nil, 0)
	return &adminv1.GetBrokerResponse{Broker: b}, err
}

func (f *fakeFleet) DrainBroker(_ context.Context, r *adminv1.DrainBrokerRequest) (*adminv1.DrainBrokerResponse, error) {
	b, err := f.find(r.GetName(), r, adminv1.Broker_STATE_DRAINING)
	return &adminv1.DrainBrokerResponse{Broker: b}, err
}

func (f *fakeFleet) UndrainBroker(_ context.Context, r *adminv1.UndrainBrokerRequest) (*adminv1.UndrainBrokerResponse, error) {
	b, err := f.find(r.GetName(), r, adminv1.Broker_STATE_SERVING)
	return &adminv1.UndrainBrokerResponse{Broker: b}, err
}

func (f *fakeFleet) RevokeBroker(_ context.Context, r *adminv1.RevokeBrokerRequest) (*adminv1.RevokeBrokerResponse, error) {
	b, err := f.find(r.GetName(), r, adminv1.Broker_STATE_REVOKED)
	return &adminv1.RevokeBrokerResponse{Broker: b}, err
}

func (f *fakeFleet) CreateJoinToken(_ context.Context, r *adminv1.CreateJoinTokenRequest) (*adminv1.CreateJoinTokenResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked = append(f.asked, r)
	resp := &adminv1.CreateJoinTokenResponse{ExpireTime: timestamppb.New(testTime)}
	if !r.GetValidateOnly() {
		resp.JoinToken = "coveyjoin_made"
	}
	return resp, nil
}

func (f *fakeFleet) find(name string, change proto.Message, state adminv1.Broker_State) (*adminv1.Broker, error) {
	for _, b := range f.brokers() {
		if b.GetName() != name {
			continue
		}
		if change != nil {
			f.mu.Lock()
			f.asked = append(f.asked, change)
			f.mu.Unlock()
			b.State = state
		}
		return b, nil
	}
	return nil, status.Error(codes.NotFound, "no such broker")
}

func (f *fakeFleet) changes() []proto.Message {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]proto.Message(nil), f.asked...)
}

func TestBrokerListShowsTheFleet(t *testing.T) {
	u := newUser(t).withOperator()
	out := u.mustRun("admin", "broker", "list")
	for _, want := range []string{brokerOne, "nats-1", "serving", "1.2.3", "42", "812", "never"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is not in\n%s", want, out)
		}
	}
	if out := u.mustRun("admin", "broker", "list", "--json"); !strings.Contains(out, `"server_name"`) || !strings.Contains(out, "STATE_SERVING") {
		t.Errorf("as JSON: %s", out)
	}
	if out := u.mustRun("admin", "broker", "get", "nats-1"); !strings.Contains(out, "serving") || !strings.Contains(out, brokerOne) {
		t.Errorf("by its name: %s", out)
	}
}

func TestBrokerChangesSayWhatIsWanted(t *testing.T) {
	u := newUser(t).withOperator()
	out := u.mustRun("admin", "broker", "drain", "nats-1", "--reason", "new kernel", "--request-id", "r1")
	if !strings.Contains(out, "draining") {
		t.Errorf("drained: %s", out)
	}
	u.mustRun("admin", "broker", "undrain", brokerOne)
	u.mustRun("admin", "broker", "revoke", brokerTwo, "--dry-run")
	want := []proto.Message{
		&adminv1.DrainBrokerRequest{Name: "brokers/" + brokerOne, Reason: "new kernel", RequestId: "r1"},
		&adminv1.UndrainBrokerRequest{Name: "brokers/" + brokerOne},
		&adminv1.RevokeBrokerRequest{Name: "brokers/" + brokerTwo, ValidateOnly: true},
	}
	got := u.api.fleet.changes()
	if len(got) != len(want) {
		t.Fatalf("asked for %v, want %v", got, want)
	}
	for i := range want {
		if !proto.Equal(got[i], want[i]) {
			t.Errorf("asked for %v, want %v", got[i], want[i])
		}
	}
}

func TestBrokerNamesThatNameNoneOrTwo(t *testing.T) {
	u := newUser(t).withOperator()
	for _, tt := range []struct{ name, want string }{
		{"nobody", "no broker is called"}, {"twin", "2 brokers are called"}, {"brk_00000000000000000000000000000009", "no such broker"},
	} {
		code, _, stderr := u.run("admin", "broker", "drain", tt.name)
		if code == 0 || !strings.Contains(stderr, tt.want) {
			t.Errorf("%s: exit code %d, %q", tt.name, code, stderr)
		}
	}
	if got := u.api.fleet.changes(); len(got) != 0 {
		t.Errorf("something was changed: %v", got)
	}
	if code, _, _ := u.run("admin", "broker", "drain"); code != 2 {
		t.Errorf("no broker named: exit code %d", code)
	}
}

func TestAJoinTokenIsShownOnceOrWritten(t *testing.T) {
	u := newUser(t).withOperator()
	if out := u.mustRun("admin", "broker", "join-token", "--ttl", "30m", "--reason", "nats-4"); out != "coveyjoin_made\n" {
		t.Errorf("printed: %q", out)
	}
	if out := u.mustRun("admin", "broker", "join-token", "--json"); !strings.Contains(out, `"coveyjoin_made"`) {
		t.Errorf("as JSON: %s", out)
	}
	file := filepath.Join(u.dir, "token")
	out := u.mustRun("admin", "broker", "join-token", "--out", file, "--json")
	text, err := os.ReadFile(file)
	if err != nil || string(text) != "coveyjoin_made\n" || strings.Contains(out, "coveyjoin_made") || !strings.Contains(out, "expire_time") {
		t.Errorf("written: %q (%v), printed %s", text, err, out)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file is %v (%v)", info, err)
	}
	asked := len(u.api.fleet.changes())
	if code, _, stderr := u.run("admin", "broker", "join-token", "--out", file); code == 0 || !strings.Contains(stderr, "exists") || len(u.api.fleet.changes()) != asked {
		t.Errorf("over a file: exit code %d, %s", code, stderr)
	}
	if out := u.mustRun("admin", "broker", "join-token", "--dry-run"); strings.Contains(out, "coveyjoin") || !strings.Contains(out, "expires") {
		t.Errorf("a dry run: %s", out)
	}
	want := &adminv1.CreateJoinTokenRequest{Ttl: durationpb.New(30 * time.Minute), Reason: "nats-4"}
	if got := u.api.fleet.changes()[0]; !proto.Equal(got, want) {
		t.Errorf("asked for %v, want %v", got, want)
	}
}
