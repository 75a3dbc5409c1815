package cli

import (
	"context"
	"fmt"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/coveymq/covey/cmd/covey/internal/contexts"
	"github.com/coveymq/covey/cmd/covey/internal/term"
	apiv1 "github.com/coveymq/covey/proto/covey/api/v1"
)

// examineIssued looks for credentials of the context's user that end soon, the
// ones elsewhere included. It says nothing to a key that may not list them.
func (a *App) examineIssued(ctx context.Context, c *contexts.Context) []check {
	const name = "issued credentials"
	s, err := a.dial(c)
	if err != nil {
		return nil // the check of the key says so
	}
	defer func() { _ = s.Close() }()
	client := apiv1.NewCredentialServiceClient(s)
	parent := fmt.Sprintf("organizations/%s/accounts/%s/users/%s", c.Organization, c.Account, c.User)
	ending, err := listAll(ctx, func(ctx context.Context, token string) (*apiv1.ListCredentialsResponse, error) {
		return client.ListCredentials(ctx, &apiv1.ListCredentialsRequest{Parent: parent, PageSize: pageSize, PageToken: token, Filter: "state = EXPIRING"})
	}, (*apiv1.ListCredentialsResponse).GetCredentials)
	switch {
	case status.Code(err) == codes.PermissionDenied:
		return nil
	case err != nil:
		x := failure(name, err)
		x.State = checkWarn
		return []check{x}
	case len(ending) == 0:
		return []check{{Name: name, State: checkOK, Detail: "none of " + c.User + "'s ends soon"}}
	}
	first := ending[0]
	for _, x := range ending[1:] {
		if x.GetExpireTime().AsTime().Before(first.GetExpireTime().AsTime()) {
			first = x
		}
	}
	return []check{{
		Name: name, State: checkWarn,
		Detail: fmt.Sprintf("%d of %s's end soon, %s first, %s", len(ending), c.User, lastSegment(first.GetName()), term.Time(first.GetExpireTime().AsTime())),
		Next:   "renew them where they are used: `covey creds renew`; all of them: `covey creds list`",
	}}
}
