package api

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/coveymq/covey/controlplane/internal/tenancy"
	"github.com/coveymq/covey/internal/errs"
	apiv1 "github.com/coveymq/covey/proto/covey/api/v1"
)

// BatchCreateAccounts implements apiv1.AccountServiceServer. Each account is a
// change of its own: what a plan allows is looked at each time, and one change
// holds only so many writes. Its request id is made of the batch's and its name,
// so that what was made is found again.
func (s *accountService) BatchCreateAccounts(ctx context.Context, req *apiv1.BatchCreateAccountsRequest) (*apiv1.BatchCreateAccountsResponse, error) {
	seen := map[string]bool{}
	for _, a := range req.GetAccounts() {
		if seen[a.GetAccountId()] {
			return nil, errs.New(errs.Invalid, "INVALID_FIELD", "accounts: the id %q is there twice", a.GetAccountId()).WithField("accounts")
		}
		seen[a.GetAccountId()] = true
	}
	resp := &apiv1.BatchCreateAccountsResponse{}
	for i, a := range req.GetAccounts() {
		made, err := s.CreateAccount(ctx, &apiv1.CreateAccountRequest{
			Parent: req.GetParent(), AccountId: a.GetAccountId(), Account: a.GetAccount(),
			RequestId: req.GetRequestId() + "/" + a.GetAccountId(), ValidateOnly: req.GetValidateOnly(),
		})
		if err != nil {
			return nil, batchError(err, i, a.GetAccountId(), len(req.GetAccounts()), "made", req.GetValidateOnly())
		}
		resp.Accounts, resp.Operation = append(resp.Accounts, made.GetAccount()), made.GetOperation()
	}
	return resp, nil
}

// BatchUpdateAccounts implements apiv1.AccountServiceServer.
func (s *accountService) BatchUpdateAccounts(ctx context.Context, req *apiv1.BatchUpdateAccountsRequest) (*apiv1.BatchUpdateAccountsResponse, error) {
	ids := make([]string, len(req.GetRequests()))
	seen := map[string]bool{}
	for i, r := range req.GetRequests() {
		n, err := parseName(r.GetAccount().GetName())
		if err != nil {
			return nil, err
		}
		switch {
		case n.account == "" || r.GetAccount().GetName() != req.GetParent()+"/accounts/"+n.account:
			return nil, errs.New(errs.Invalid, "INVALID_NAME", "%q is not an account of %s", r.GetAccount().GetName(), req.GetParent()).WithField("requests")
		case seen[n.account]:
			return nil, errs.New(errs.Invalid, "INVALID_FIELD", "requests: the account %q is there twice", n.account).WithField("requests")
		case r.GetRequestId() != "" || r.GetValidateOnly():
			return nil, errs.New(errs.Invalid, "INVALID_FIELD", "requests: request_id and validate_only are the batch's").
				WithField("requests").WithNext("set them beside requests, not in them")
		}
		ids[i], seen[n.account] = n.account, true
	}
	resp := &apiv1.BatchUpdateAccountsResponse{}
	var all touched
	for i, r := range req.GetRequests() {
		n := name{organization: strings.TrimPrefix(req.GetParent(), "organizations/"), account: ids[i]}
		changed, t, err := s.updateAccount(ctx, n, &apiv1.UpdateAccountRequest{
			Account: r.GetAccount(), UpdateMask: r.GetUpdateMask(),
			RequestId: req.GetRequestId() + "/" + ids[i], ValidateOnly: req.GetValidateOnly(),
		})
		if err != nil {
			return nil, batchError(err, i, ids[i], len(ids), "changed", req.GetValidateOnly())
		}
		all.clients = append(all.clients, t.clients...)
		resp.Accounts = append(resp.Accounts, changed.GetAccount())
		if changed.GetOperation() != nil {
			resp.Operation = changed.GetOperation()
		}
	}
	if !req.GetValidateOnly() {
		return resp, nil
	}
	var err error
	resp.Impact, err = s.impact(ctx, all)
	return resp, err
}

// batchError says at which account a batch stopped, and what to do.
func batchError(err error, made int, id string, all int, done string, dry bool) error {
	var e *errs.Error
	if !errors.As(err, &e) {
		return fmt.Errorf("account %d of %d (%s): %w", made+1, all, id, err)
	}
	out := errs.New(e.Code, e.Reason, "account %d of %d, %q: %s", made+1, all, id, e.Message).WithField(e.Field).WithRetry(e.Retry).WithCause(err)
	next := e.Next
	if made > 0 && !dry {
		if next != "" {
			next += "; "
		}
		next += fmt.Sprintf("the %d before it are %s; the same call with the same request_id goes on behind them", made, done)
	}
	return out.WithNext("%s", next)
}

// BatchGetAccounts implements apiv1.AccountServiceServer.
func (s *accountService) BatchGetAccounts(ctx context.Context, req *apiv1.BatchGetAccountsRequest) (*apiv1.BatchGetAccountsResponse, error) {
	v, parent, err := s.view(ctx, req.GetParent())
	if err != nil {
		return nil, err
	}
	ids := make([]string, len(req.GetNames()))
	for i, text := range req.GetNames() {
		n, err := parseName(text)
		if err != nil {
			return nil, err
		}
		if n.organization != parent.organization {
			return nil, errs.New(errs.Invalid, "INVALID_NAME", "%q is not an account of %s", text, req.GetParent()).WithField("names")
		}
		ids[i] = n.account
	}
	list, missing, err := v.AccountsNamed(ctx, ids)
	if err != nil {
		return nil, err
	}
	if missing != "" {
		return nil, notFound(tenancy.AccountName(parent.organization, missing))
	}
	resp := &apiv1.BatchGetAccountsResponse{}
	for _, a := range list {
		resp.Accounts = append(resp.Accounts, accountProto(parent.organization, a))
	}
	return resp, nil
}
