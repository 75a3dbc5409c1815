package cli_test

import (
	"context"
	"fmt"
	"net"
	"sync"
	"testing"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	adminv1 "github.com/coveymq/covey/proto/covey/admin/v1"
	apiv1 "github.com/coveymq/covey/proto/covey/api/v1"
)

const operatorKey = "covey_op_secret"

// fakeAPI is a control plane that remembers what it was asked.
type fakeAPI struct {
	apiv1.UnimplementedOrganizationServiceServer
	apiv1.UnimplementedAccountServiceServer
	apiv1.UnimplementedUserServiceServer
	apiv1.UnimplementedCredentialServiceServer
	apiv1.UnimplementedOperationServiceServer
	apiv1.UnimplementedUsageServiceServer
	apiv1.UnimplementedRoleServiceServer
	apiv1.UnimplementedServiceAccountServiceServer
	apiv1.UnimplementedAPIKeyServiceServer
	apiv1.UnimplementedMemberServiceServer
	apiv1.UnimplementedInvitationServiceServer
	apiv1.UnimplementedAccessServiceServer
	apiv1.UnimplementedExportServiceServer
	apiv1.UnimplementedWatchServiceServer
	apiv1.UnimplementedImportServiceServer
	apiv1.UnimplementedShareServiceServer

	fleet fakeFleet

	deleted    *apiv1.DeleteAccountRequest // guarded by mu: the last one
	changed    *apiv1.UpdateUserRequest    // guarded by mu: the last one
	renewed    string                      // set before the call: the public key that a renewal answers with
	renewedJWT string                      // set before the call: the JWT that it answers with

	retired *apiv1.RetireKeyRequest            // guarded by mu: the last one
	widened *apiv1.UpdateRoleRequest           // guarded by mu: the last one
	made    *apiv1.CreateServiceAccountRequest // guarded by mu: the last one
	rotated *apiv1.RotateAPIKeyRequest         // guarded by mu: the last one
	invited *apiv1.CreateInvitationRequest     // guarded by mu: the last one
	member  *apiv1.UpdateMemberRequest         // guarded by mu: the last one
	shared  []proto.Message                    // guarded by mu: requests about exports, imports and shares

	mu       sync.Mutex
	calls    []string                      // guarded by mu: methods with the key used
	update   *apiv1.UpdateAccountRequest   // guarded by mu: the last one
	user     *apiv1.CreateUserRequest      // guarded by mu: the last one
	usage    *apiv1.QueryUsageRequest      // guarded by mu: the last one
	issued   *apiv1.IssueCredentialRequest // guarded by mu: the last one
	waits    int                           // guarded by mu
	enforced int                           // guarded by mu: waits until ENFORCED
}

func startFake(t *testing.T) (*fakeAPI, string) {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f := &fakeAPI{}
	s := grpc.NewServer(grpc.UnaryInterceptor(f.note))
	apiv1.RegisterOrganizationServiceServer(s, f)
	apiv1.RegisterAccountServiceServer(s, f)
	apiv1.RegisterUserServiceServer(s, f)
	apiv1.RegisterCredentialServiceServer(s, f)
	apiv1.RegisterOperationServiceServer(s, f)
	apiv1.RegisterUsageServiceServer(s, f)
	apiv1.RegisterRoleServiceServer(s, f)
	apiv1.RegisterServiceAccountServiceServer(s, f)
	apiv1.RegisterAPIKeyServiceServer(s, f)
	apiv1.RegisterMemberServiceServer(s, f)
	apiv1.RegisterInvitationServiceServer(s, f)
	apiv1.RegisterAccessServiceServer(s, f)
	apiv1.RegisterExportServiceServer(s, f)
	apiv1.RegisterWatchServiceServer(s, f)
	apiv1.RegisterImportServiceServer(s, f)
	apiv1.RegisterShareServiceServer(s, f)
	adminv1.RegisterBrokerServiceServer(s, &f.fleet)
	var wg sync.WaitGroup
	wg.Go(func() { _ = s.Serve(l) })
	t.Cleanup(func() {
		s.Stop()
		wg.Wait()
	})
	return f, l.Addr().String()
}

func (f *fakeAPI) note(ctx context.Context, req any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
	md, _ := metadata.FromIncomingContext(ctx)
	f.mu.Lock()
	f.calls = append(f.calls, fmt.Sprint(info.FullMethod, md.Get("authorization")))
	f.mu.Unlock()
	return next(ctx, req)
}

func (f *fakeAPI) called() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]string(nil), f.calls...)
}

func (f *fakeAPI) SignUp(_ context.Context, r *apiv1.SignUpRequest) (*apiv1.SignUpResponse, error) {
	org := "organizations/" + r.GetOrganizationId()
	return &apiv1.SignUpResponse{
		Organization: &apiv1.Organization{Name: org},
		Account:      &apiv1.Account{Name: org + "/accounts/default", PublicKey: "APUBLIC"},
		User:         &apiv1.User{Name: org + "/accounts/default/users/admin"},
		CredsFile:    "creds of " + r.GetOrganizationId(),
		ApiKey:       "covey_key_" + r.GetOrganizationId() + "_secret",
	}, nil
}

func (f *fakeAPI) ListOrganizations(_ context.Context, r *apiv1.ListOrganizationsRequest) (*apiv1.ListOrganizationsResponse, error) {
	if r.GetPageToken() == "" {
		return &apiv1.ListOrganizationsResponse{Organizations: []*apiv1.Organization{{Name: "organizations/one"}}, NextPageToken: "2"}, nil
	}
	return &apiv1.ListOrganizationsResponse{Organizations: []*apiv1.Organization{{Name: "organizations/two\x1b[2J"}}}, nil
}

func (f *fakeAPI) GetAccount(_ context.Context, r *apiv1.GetAccountRequest) (*apiv1.GetAccountResponse, error) {
	code, reason := codes.NotFound, "ACCOUNT_NOT_FOUND"
	switch r.GetName() {
	case "organizations/acme/accounts/denied":
		code = codes.PermissionDenied
	case "organizations/acme/accounts/full":
		code = codes.ResourceExhausted
	case "organizations/acme/accounts/wrong":
		code = codes.InvalidArgument
	case "organizations/acme/accounts/orders":
		return &apiv1.GetAccountResponse{Account: &apiv1.Account{Name: r.GetName(), State: apiv1.Account_STATE_ACTIVE, Revision: 1 << 60}}, nil
	}
	st, err := status.New(code, "no account "+r.GetName()+"; look again").WithDetails(
		&errdetails.ErrorInfo{Reason: reason, Domain: "covey.dev", Metadata: map[string]string{"next": "look again"}},
		&errdetails.RequestInfo{RequestId: "req-7"})
	if err != nil {
		return nil, err
	}
	return nil, st.Err()
}

func (f *fakeAPI) UpdateAccount(_ context.Context, r *apiv1.UpdateAccountRequest) (*apiv1.UpdateAccountResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.update = r
	return &apiv1.UpdateAccountResponse{Account: r.GetAccount()}, nil
}

func (f *fakeAPI) SuspendAccount(_ context.Context, r *apiv1.SuspendAccountRequest) (*apiv1.SuspendAccountResponse, error) {
	return &apiv1.SuspendAccountResponse{
		Account:   &apiv1.Account{Name: r.GetName(), State: apiv1.Account_STATE_SUSPENDED},
		Operation: f.operation("organizations/acme/operations/op1", false),
	}, nil
}

func (f *fakeAPI) operation(name string, enforced bool) *apiv1.Operation {
	op := &apiv1.Operation{
		Name: name, State: apiv1.Operation_STATE_RUNNING,
		Brokers: []*apiv1.BrokerProgress{{Broker: "b1", DisplayName: "first", Leased: true}, {Broker: "b2", Leased: false}},
	}
	if enforced {
		op.State, op.Brokers[0].Acknowledged = apiv1.Operation_STATE_ENFORCED, true
	}
	return op
}

func (f *fakeAPI) WaitOperation(ctx context.Context, r *apiv1.WaitOperationRequest) (*apiv1.WaitOperationResponse, error) {
	f.mu.Lock()
	f.waits++
	enforced := f.enforced > 0 && f.waits >= f.enforced
	f.mu.Unlock()
	if !enforced { // as the real one does: it waits
		ctx, cancel := context.WithTimeout(ctx, r.GetTimeout().AsDuration())
		defer cancel()
		<-ctx.Done()
	}
	return &apiv1.WaitOperationResponse{Operation: f.operation(r.GetName(), enforced)}, nil
}

func (f *fakeAPI) CreateUser(_ context.Context, r *apiv1.CreateUserRequest) (*apiv1.CreateUserResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.user = r
	return &apiv1.CreateUserResponse{User: &apiv1.User{Name: r.GetParent() + "/users/" + r.GetUserId()}}, nil
}

func (f *fakeAPI) IssueCredential(_ context.Context, r *apiv1.IssueCredentialRequest) (*apiv1.IssueCredentialResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.issued = r
	resp := &apiv1.IssueCredentialResponse{Credential: &apiv1.Credential{Name: r.GetParent() + "/credentials/c1"}, Jwt: "the.jwt"}
	if r.GetPublicKey() == "" {
		resp.CredsFile = "seed and jwt"
	}
	return resp, nil
}

func (f *fakeAPI) QueryUsage(_ context.Context, r *apiv1.QueryUsageRequest) (*apiv1.QueryUsageResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.usage = r
	at := timestamppb.New(timestamppb.New(testTime).AsTime())
	return &apiv1.QueryUsageResponse{
		StartTime: at, EndTime: at,
		Accounts: []*apiv1.AccountUsage{{
			Account: "organizations/acme/accounts/default", AccountPublicKey: "APUBLIC",
			PublishedMessages: 1_000_000, PublishedBytes: 128_000_000, DeliveredMessages: 9_007_199_254_740_993, DeliveredBytes: 4,
		}},
	}, nil
}
