package cli_test

import (
	"maps"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	"github.com/coveymq/covey/cmd/covey/internal/cli"
	"github.com/coveymq/covey/cmd/covey/internal/contexts"
	"github.com/coveymq/covey/cmd/covey/internal/maintain"
	apiv1 "github.com/coveymq/covey/proto/covey/api/v1"
)

// harmless are the commands that need no --dry-run, and why.
func harmless() map[string]string {
	out := map[string]string{}
	for why, commands := range map[string][]string{
		"reads": {
			"account get", "account list", "admin audit verify", "admin backup", "admin broker get", "admin broker list", "admin cluster get",
			"admin cluster list", "admin fleet-ca status", "creds show", "admin operator jwt", "admin operator request", "admin operator show", "admin plan get",
			"admin plan list", "admin plan organizations", "admin verify", "apikey list", "audit list", "context list", "context show", "creds list",
			"doctor", "explain access", "explain limits", "export get", "export list", "federation list", "import get", "import list", "key dependents",
			"member get", "member invitations", "member list", "operation get", "operation list", "operation wait", "org get", "org list", "org plan",
			"role get", "role list", "serviceaccount get", "serviceaccount list", "share list", "share offers", "usage", "apikey get", "federation get", "share get", "member invitation", "user get", "user list",
			"version", "watch", "whoami", "org export", "alert get", "alert list", "alert policy get", "alert policy list",
		},
		"makes something new, and refuses what is there": {
			"account create", "admin collector certificate", "admin operator init", "apikey create", "export create",
			"federation create", "federation exchange", "import create", "member accept", "member invite", "role create", "serviceaccount create",
			"share accept", "share offer", "signup", "user create", "context add",
		},
		"tells a receiver that it is nothing":         {"alert policy test"},
		"gives back what was taken away":              {"account resume", "account undelete", "org undelete", "apikey enable", "user resume"},
		"the old one stays good":                      {"creds renew"},
		"is of this user's files, not of an account":  {"context use", "context delete"},
		"writes into an empty store or a new ledger":  {"admin restore", "admin ledger copy", "admin import nsc"},
		"moves a key; what it signed is good as ever": {"admin operator detach-root"},
	} {
		for _, c := range commands {
			out[c] = why
		}
	}
	return out
}

// leaves returns the commands of the API and of maintenance, by their paths.
func leaves() map[string]*cobra.Command {
	app := cli.New(cli.Env{Getenv: func(string) string { return "" }})
	app.AddAdmin(maintain.Commands(app.Streams())...)
	out := map[string]*cobra.Command{}
	var walk func(c *cobra.Command)
	walk = func(c *cobra.Command) {
		if c.HasParent() && !c.HasSubCommands() {
			out[strings.TrimPrefix(c.CommandPath(), "covey ")] = c
		}
		for _, sub := range c.Commands() {
			walk(sub)
		}
	}
	walk(app.Root())
	return out
}

// Whoever adds a command says what a dry run of it tells, or why it needs none.
func TestWhatCanHurtCanBeTried(t *testing.T) {
	reasons, all := harmless(), leaves()
	for path, c := range all {
		tried := c.Flags().Lookup("dry-run") != nil
		switch why := reasons[path]; {
		case tried && why != "":
			t.Errorf("covey %s has --dry-run, and is said not to need it: %s", path, why)
		case !tried && why == "":
			t.Errorf("covey %s has no --dry-run, and nobody says why it can hurt nothing", path)
		}
		delete(reasons, path)
	}
	for path := range reasons {
		t.Errorf("there is no covey %s", path)
	}
	if _, explained := all["explain"]; !explained && len(all) < 80 {
		t.Errorf("only %d commands were found", len(all))
	}
}

// recorder answers every method of the API with nothing, and keeps what it was
// asked.
type recorder struct {
	mu    sync.Mutex
	asked []proto.Message // guarded by mu
	names []string        // guarded by mu: their methods
}

func (r *recorder) handle(_ any, stream grpc.ServerStream) error {
	method, _ := grpc.MethodFromServerStream(stream)
	name := protoreflect.FullName(strings.ReplaceAll(strings.TrimPrefix(method, "/"), "/", "."))
	d, err := protoregistry.GlobalFiles.FindDescriptorByName(name)
	if err != nil {
		return status.Error(codes.Unimplemented, method)
	}
	m := d.(protoreflect.MethodDescriptor) //nolint:errcheck,forcetypeassert // what a call names is one
	in, err := protoregistry.GlobalTypes.FindMessageByName(m.Input().FullName())
	if err != nil {
		return err
	}
	out, err := protoregistry.GlobalTypes.FindMessageByName(m.Output().FullName())
	if err != nil {
		return err
	}
	req, resp := in.New().Interface(), out.New().Interface()
	if err := stream.RecvMsg(req); err != nil {
		return err
	}
	r.mu.Lock()
	r.asked, r.names = append(r.asked, req), append(r.names, string(m.Name()))
	r.mu.Unlock()
	fill(resp.ProtoReflect(), 2)
	return stream.SendMsg(resp)
}

// fill gives a message all messages that are in it, but for operations: dry runs
// begin none.
func fill(m protoreflect.Message, depth int) {
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		f := fields.Get(i)
		switch {
		case f.Message() == nil || f.IsList() || f.IsMap() || f.Name() == "operation" || depth == 0:
		case f.Name() == "impact":
			n := int64(3)
			impact := &apiv1.Impact{
				Connections: 6, BrokersCounted: 2, BrokersMissing: 1, Incomplete: true, Credentials: &n, CredentialNames: []string{"crd_1"},
				UncountedBrokers: []*apiv1.UncountedBroker{{Broker: "brk_7", DisplayName: "nats-7", Reason: "it is asleep"}},
				ApiKeys:          []string{"key_1"}, Dependents: []string{"imports/prices"},
				Accounts: []*apiv1.AccountImpact{{Account: "accounts/orders", Connections: 5, Limit: &n}},
			}
			m.Set(f, protoreflect.ValueOfMessage(impact.ProtoReflect()))
		default:
			fill(m.Mutable(f).Message(), depth-1)
		}
	}
}

func (r *recorder) take() (asked []proto.Message, names []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	asked, names = r.asked, r.names
	r.asked, r.names = nil, nil
	return asked, names
}

// withRecorder selects a context whose control plane only takes notes.
func (u *user) withRecorder() *recorder {
	u.t.Helper()
	r := &recorder{}
	u.withPlane("recorder", r.handle)
	return r
}

// withPlane selects a context whose control plane is one handler for all methods.
func (u *user) withPlane(name string, handle grpc.StreamHandler) {
	u.t.Helper()
	l, err := new(net.ListenConfig).Listen(u.t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		u.t.Fatal(err)
	}
	s := grpc.NewServer(grpc.UnknownServiceHandler(handle))
	var wg sync.WaitGroup
	wg.Go(func() { _ = s.Serve(l) })
	u.t.Cleanup(func() {
		s.Stop()
		wg.Wait()
	})
	c := &contexts.Context{
		Name: name, Role: contexts.RoleOwner, APIAddr: l.Addr().String(), Organization: "acme", Account: "default", User: "admin",
		APIKey: contexts.NewAPIKey("covey_key_own_secret"),
	}
	if err := u.store.Put(c); err != nil {
		u.t.Fatal(err)
	}
	if err := u.store.Use(c.Name); err != nil {
		u.t.Fatal(err)
	}
}

// tries are the commands that can be tried at the API, with what they need.
func tries() map[string][]string {
	const account = "organizations/acme/accounts/default"
	key := "organizations/acme/serviceAccounts/ci/apiKeys/key_1"
	return map[string][]string{
		"account suspend": {"orders"}, "account delete": {"orders"}, "account purge": {"orders"}, "account update": {"orders", "--connections", "3"},
		"user suspend": {"shop"}, "user delete": {"shop"}, "user update": {"shop", "--role", "clerk"}, "creds issue": {"shop"}, "org update": {"--display-name", "Acme"}, "org close": {"acme"}, "creds revoke": {account + "/users/shop/credentials/crd_1"},
		"role update": {"clerk", "--allow-pub", "a"}, "role delete": {"clerk"}, "key stage": {"clerk"}, "key promote": {"clerk"},
		"key retire": {"clerk", "AKEY"}, "key rotate-now": {"clerk"}, "serviceaccount update": {"ci", "--disabled"}, "serviceaccount delete": {"ci"},
		"apikey rotate": {key}, "apikey disable": {key}, "apikey delete": {key}, "member set-role": {"ann", "admin"}, "member remove": {"ann"},
		"member revoke": {"inv_1"}, "federation delete": {"ci"}, "import delete": {"prices"}, "export update": {"prices", "--audience", "offered"},
		"export delete": {"prices", "--force"}, "share revoke": {account + "/exports/prices/offers/off_1"}, "share reject": {"shr_1"},
		"admin plan create": {"starter"}, "admin plan update": {"starter", "--max-accounts", "2"}, "admin plan delete": {"starter"}, "admin plan assign": {"acme", "starter"},
		"admin quota set": {"acme", "connections", "3", "--reason", "test"}, "admin quota delete": {"acme", "connections"},
		"admin org suspend": {"acme", "--reason", "test"}, "admin org resume": {"acme"},
		"admin broker drain": {"brk_1"}, "admin broker undrain": {"brk_1"}, "admin broker revoke": {"brk_1"}, "admin broker join-token": {},
		"admin operator stage": {}, "admin operator promote": {}, "admin operator retire": {"OKEY"},
		"admin cluster add": {"old", "--url", "nats://127.0.0.1:1"}, "admin cluster remove": {"old"}, "admin cluster resync": {"old"},
		"admin fleet-ca rotate": {}, "admin fleet-ca retire": {"ca_1"},
		"alert ack": {"alt_1"}, "alert policy create": {"data", "--metric", "data_bytes", "--percent", "80"}, "alert policy update": {"data", "--disable"},
		"alert policy delete": {"data"},
	}
}

// A dry run asks the control plane for nothing but a dry run, whatever the
// command, and says at its end that nothing was changed.
func TestDryRunsOnlyTry(t *testing.T) {
	u := newUser(t)
	r := u.withRecorder()
	args := tries()
	for path, c := range leaves() {
		if _, known := args[path]; !known && c.Flags().Lookup("dry-run") != nil && path != "admin operator sign" { // which asks nobody
			t.Errorf("covey %s is not tried here", path)
		}
	}
	for _, path := range slices.Sorted(maps.Keys(args)) {
		for _, format := range []string{"text", "json"} {
			line := append(strings.Fields(path), args[path]...)
			line = append(line, "--dry-run")
			if format == "json" {
				line = append(line, "--json")
			}
			code, stdout, stderr := u.run(line...)
			if code != 0 {
				t.Errorf("covey %v: %d %s", line, code, stderr)
				continue
			}
			asked, names := r.take()
			tried, impact := 0, false
			for i, m := range asked {
				f := m.ProtoReflect().Descriptor().Fields().ByName("validate_only")
				switch {
				case f != nil && m.ProtoReflect().Get(f).Bool():
					tried++
					impact = impact || hasImpact(m)
				case !strings.HasPrefix(names[i], "List"):
					t.Errorf("covey %v calls %s", line, names[i])
				}
			}
			if tried != 1 {
				t.Errorf("covey %v tries %d changes: %v", line, tried, names)
			}
			switch {
			case format == "text" && !strings.Contains(stderr, "nothing was changed"):
				t.Errorf("covey %v does not say that nothing was changed: %s", line, stderr)
			case format == "text" && impact:
				for _, part := range []string{"at least 6", "at 2 brokers", "nats-7", "it is asleep", "crd_1", "key_1", "imports/prices", "accounts/orders", "may have 3"} {
					if !strings.Contains(stdout, part) {
						t.Errorf("covey %v leaves %q out of the impact: %s", line, part, stdout)
					}
				}
			case format == "json" && impact && !strings.Contains(stdout, `"connections":"6"`):
				t.Errorf("covey %v leaves the impact out: %s", line, stdout)
			}
		}
	}
	if c, err := u.store.Get("recorder"); err != nil || c.APIKey.Reveal() != "covey_key_own_secret" {
		t.Errorf("a dry run changed the context: %v", err)
	}
}

// hasImpact reports whether the answer to a request has an impact.
func hasImpact(req proto.Message) bool {
	name := strings.TrimSuffix(string(req.ProtoReflect().Descriptor().FullName()), "Request") + "Response"
	out, err := protoregistry.GlobalTypes.FindMessageByName(protoreflect.FullName(name))
	return err == nil && out.Descriptor().Fields().ByName("impact") != nil
}
