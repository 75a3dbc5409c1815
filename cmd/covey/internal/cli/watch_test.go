package cli_test

import (
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	apiv1 "github.com/coveymq/covey/proto/covey/api/v1"
)

// WatchResources tells one user and breaks off; who comes back with the
// bookmark is told the rest, and then refused.
func (f *fakeAPI) WatchResources(r *apiv1.WatchResourcesRequest, stream grpc.ServerStreamingServer[apiv1.WatchResourcesResponse]) error {
	f.noteShared(r)
	md, _ := metadata.FromIncomingContext(stream.Context())
	if len(md.Get("authorization")) != 1 {
		return status.Error(codes.Unauthenticated, "no key")
	}
	change := &apiv1.ResourceChange{Name: "organizations/acme/accounts/default/users/ann", Resource: &apiv1.ResourceChange_User{User: &apiv1.User{State: apiv1.User_STATE_SUSPENDED}}}
	if r.GetBookmark() == "7" {
		change = &apiv1.ResourceChange{Name: "organizations/acme/accounts/default/users/bob", Deleted: true}
	}
	for _, event := range []*apiv1.WatchResourcesResponse{
		{Event: &apiv1.WatchResourcesResponse_Change{Change: change}}, {Event: &apiv1.WatchResourcesResponse_Bookmark{Bookmark: "7"}},
	} {
		if err := stream.Send(event); err != nil {
			return err
		}
	}
	if r.GetBookmark() == "7" {
		return status.Error(codes.PermissionDenied, "enough")
	}
	return status.Error(codes.Unavailable, "going away")
}

func TestWatchComesBackWithItsBookmark(t *testing.T) {
	u := newUser(t).withTenant()
	code, out, stderr := u.run("watch", "--kind", "users", "--account", "default")
	if code != 4 || out != "organizations/acme/accounts/default/users/ann is there, suspended\norganizations/acme/accounts/default/users/bob is gone\n" {
		t.Errorf("exit code %d, %q, %q", code, out, stderr)
	}
	if !strings.Contains(stderr, "going on from bookmark 7") {
		t.Errorf("standard error is %q", stderr)
	}
	first, ok := u.api.shared[0].(*apiv1.WatchResourcesRequest)
	if !ok || first.GetParent() != "organizations/acme/accounts/default" || first.GetKinds()[0] != "users" || len(u.api.shared) != 2 {
		t.Errorf("asked for %v", u.api.shared)
	}
}
