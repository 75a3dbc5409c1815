package api

import (
	"context"
	"errors"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/coveymq/covey/controlplane/internal/store"
	"github.com/coveymq/covey/controlplane/internal/tenancy"
	"github.com/coveymq/covey/internal/errs"
	apiv1 "github.com/coveymq/covey/proto/covey/api/v1"
)

const usageSpanMax = 400 * 24 * time.Hour // a year and some: one query must not read the whole ledger

type usageService struct {
	apiv1.UnimplementedUsageServiceServer
	*Server
}

// QueryUsage implements apiv1.UsageServiceServer.
func (s *usageService) QueryUsage(ctx context.Context, req *apiv1.QueryUsageRequest) (*apiv1.QueryUsageResponse, error) {
	from, to, err := usageSpan(req, time.Now().UTC())
	if err != nil {
		return nil, err
	}
	v, n, err := s.view(ctx, req.GetParent())
	if err != nil {
		return nil, err
	}
	wanted, err := usageAccounts(ctx, v, n, req.GetAccount())
	if err != nil {
		return nil, err
	}
	keys := make([]string, len(wanted))
	for i, w := range wanted {
		keys[i] = w.PublicKey
	}
	used, err := s.usage.QueryUsage(ctx, keys, from, to)
	if err != nil {
		return nil, err
	}
	byKey := make(map[string]AccountUsage, len(used))
	for _, u := range used {
		byKey[u.PublicKey] = u
	}
	resp := &apiv1.QueryUsageResponse{StartTime: timestamppb.New(from), EndTime: timestamppb.New(to)}
	for _, w := range wanted {
		u, has := byKey[w.PublicKey]
		if !has && !w.DeleteTime.IsZero() {
			continue // an account that is gone and used nothing in that time
		}
		resp.Accounts = append(resp.Accounts, &apiv1.AccountUsage{
			Account: tenancy.AccountName(n.organization, w.Account), AccountPublicKey: w.PublicKey,
			PublishedMessages: u.PublishedMessages, PublishedBytes: u.PublishedBytes,
			DeliveredMessages: u.DeliveredMessages, DeliveredBytes: u.DeliveredBytes, ReportedTime: timestamp(u.ReportedTime),
		})
	}
	return resp, nil
}

func usageSpan(req *apiv1.QueryUsageRequest, now time.Time) (from, to time.Time, err error) {
	from = time.Date(now.Year(), now.Month(), 1, 0, 0, 0, 0, time.UTC)
	to = now
	if t := req.GetStartTime(); t != nil {
		from = t.AsTime()
	}
	if t := req.GetEndTime(); t != nil {
		to = t.AsTime()
	}
	if to.Before(from) {
		return from, to, errs.New(errs.Invalid, "INVALID_TIME_RANGE", "the time range ends before it begins").WithField("end_time")
	}
	if to.Sub(from) > usageSpanMax {
		return from, to, errs.New(errs.Invalid, "INVALID_TIME_RANGE", "the time range is longer than %d days", usageSpanMax/(24*time.Hour)).
			WithField("start_time").WithNext("ask for it in parts")
	}
	return from, to, nil
}

// usageAccounts lists the accounts whose usage is wanted: all that the
// organization has, and had, or one of them by name.
func usageAccounts(ctx context.Context, v *store.View, n name, only string) ([]store.AccountRef, error) {
	if _, err := v.Org(ctx); err != nil {
		return nil, err
	}
	if only != "" {
		one, err := parseName(only)
		if err != nil {
			return nil, err
		}
		if one.organization != n.organization {
			return nil, notFound(only)
		}
		a, err := v.Account(ctx, one.account)
		if errors.Is(err, store.ErrNotFound) {
			return nil, notFound(only)
		}
		if err != nil {
			return nil, err
		}
		return []store.AccountRef{{Account: a.ID, PublicKey: a.PublicKey}}, nil
	}
	var refs []store.AccountRef
	page := store.Page{Size: 1000}
	for {
		list, next, err := v.Accounts(ctx, page)
		if err != nil {
			return nil, err
		}
		for _, a := range list {
			refs = append(refs, store.AccountRef{Account: a.ID, PublicKey: a.PublicKey})
		}
		if next == "" {
			break
		}
		page.After = next
	}
	gone, err := v.DeletedAccounts(ctx)
	return append(refs, gone...), err
}
