package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/google/uuid"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	"github.com/coveymq/covey/cmd/covey/internal/term"
	apiv1 "github.com/coveymq/covey/proto/covey/api/v1"
)

// updateUsers makes the same change to several users of one account, each part of
// them whole or not at all, and waits for the last.
func (a *App) updateUsers(ctx context.Context, s *session, w *waiting, names []string, like *apiv1.User, mask *fieldmaskpb.FieldMask, keep bool) error {
	parent, err := oneAccount(names)
	if err != nil {
		return err
	}
	if err := a.oneTry(len(names), usersAtOnce); err != nil {
		return err
	}
	all := &apiv1.BatchUpdateUsersResponse{}
	for part := range slices.Chunk(names, usersAtOnce) {
		req := &apiv1.BatchUpdateUsersRequest{Parent: parent, RequestId: uuid.NewString()}
		for _, n := range part {
			user := proto.CloneOf(like)
			user.Name = n
			req.Requests = append(req.Requests, &apiv1.UpdateUserRequest{User: user, UpdateMask: mask, KeepCredentials: keep})
		}
		resp, callErr := apiv1.NewUserServiceClient(s).BatchUpdateUsers(ctx, req)
		if err = callErr; err != nil {
			break
		}
		all.Users = append(all.Users, resp.GetUsers()...)
		all.RevokedCredentials += resp.GetRevokedCredentials()
		if resp.GetOperation() != nil { // of a later part than the one before
			all.Operation = resp.GetOperation()
		}
	}
	revoked := term.Pair{Name: credsRevoked, Value: strconv.Itoa(int(all.GetRevokedCredentials()))}
	if a.preview != nil {
		return a.show(all, term.Pair{Name: "would change", Value: fmt.Sprint(len(names), " users")}, revoked)
	}
	done := len(all.GetUsers())
	if done == 0 {
		return err
	}
	err = afterParts(err, done, len(names), "changed", lastSegment(names[done-1]))
	op, waitErr := w.settle(ctx, a, s, all.GetOperation())
	setOperation(all, op)
	rows := make([][]string, 0, done)
	for _, u := range all.GetUsers() {
		rows = append(rows, []string{lastSegment(u.GetName()), stateWord(u.GetState()), u.GetRole()})
	}
	return errors.Join(a.showBatch(all, op, []string{"USER", "STATE", "ROLE"}, rows, revoked), err, waitErr)
}

// showBatch prints what became of several: JSON for programs; for people a table,
// and below it what is of all of them.
func (a *App) showBatch(all proto.Message, op *apiv1.Operation, header []string, rows [][]string, more ...term.Pair) error {
	if a.streams.JSON {
		return a.show(all)
	}
	err := a.streams.Table(header, rows)
	if pairs := append(more, operationPairs(op)...); len(pairs) > 0 {
		err = errors.Join(err, a.streams.Describe(pairs...))
	}
	return err
}
