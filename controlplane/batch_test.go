package controlplane_test

import (
	"fmt"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/coveymq/covey/internal/errs"
	apiv1 "github.com/coveymq/covey/proto/covey/api/v1"
)

func TestUsersComeInBatchesAllOrNone(t *testing.T) {
	p := start(t, t.TempDir())
	_, owner := p.signUp(t, "acme")
	p.signUp(t, "globex")
	ctx := t.Context()
	req := &apiv1.BatchCreateUsersRequest{Parent: acmeAccount, RequestId: "batch"}
	get := &apiv1.BatchGetUsersRequest{Parent: acmeAccount}
	for i := range 50 {
		id := fmt.Sprintf("user-%02d", i)
		req.Users = append(req.Users, &apiv1.NewUser{UserId: id, User: &apiv1.User{DisplayName: id}})
		get.Names = append(get.Names, acmeAccount+"/users/"+id)
	}
	made := must[*apiv1.BatchCreateUsersResponse](t, "create")(owner.users.BatchCreateUsers(ctx, req))
	read := must[*apiv1.BatchGetUsersResponse](t, "get")(owner.users.BatchGetUsers(ctx, get))
	for i, u := range read.GetUsers() {
		if !proto.Equal(u, made.GetUsers()[i]) || u.GetName() != get.GetNames()[i] || u.GetEtag() == "" {
			t.Errorf("made %v, read %v", made.GetUsers()[i], u)
		}
	}
	again := must[*apiv1.BatchCreateUsersResponse](t, "replay")(owner.users.BatchCreateUsers(ctx, req))
	if len(again.GetUsers()) != 50 {
		t.Errorf("a replay answers %v", again)
	}
	one := func(id string) *apiv1.NewUser { return &apiv1.NewUser{UserId: id} }
	_, err := owner.users.BatchCreateUsers(ctx, &apiv1.BatchCreateUsersRequest{Parent: acmeAccount, Users: []*apiv1.NewUser{one("fresh"), one("user-07")}})
	wantError(t, err, errs.Exists, "USER_EXISTS")
	_, err = owner.users.BatchGetUsers(ctx, &apiv1.BatchGetUsersRequest{Parent: acmeAccount, Names: []string{acmeAccount + "/users/fresh"}})
	wantError(t, err, errs.NotFound, "RESOURCE_NOT_FOUND")
	_, err = owner.users.BatchCreateUsers(ctx, &apiv1.BatchCreateUsersRequest{Parent: acmeAccount, Users: []*apiv1.NewUser{one("twice"), one("twice")}})
	wantError(t, err, errs.Invalid, "INVALID_FIELD")
	_, err = owner.users.BatchGetUsers(ctx, &apiv1.BatchGetUsersRequest{Parent: acmeAccount, Names: []string{globexAccount + "/users/default"}})
	wantError(t, err, errs.Invalid, "INVALID_NAME")
}
