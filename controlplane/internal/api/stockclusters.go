package api

import (
	"context"
	"slices"
	"strings"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/coveymq/covey/controlplane/internal/store"
	"github.com/coveymq/covey/controlplane/internal/tenancy"
	"github.com/coveymq/covey/internal/errs"
	adminv1 "github.com/coveymq/covey/proto/covey/admin/v1"
)

// stockClusters implements covey.admin.v1.StockClusterService.
type stockClusters struct {
	adminv1.UnimplementedStockClusterServiceServer
	*Server
}

// ListStockClusters implements covey.admin.v1.
func (s *stockClusters) ListStockClusters(ctx context.Context, _ *adminv1.ListStockClustersRequest) (*adminv1.ListStockClustersResponse, error) {
	all, err := s.store.FollowedClusters(ctx)
	if err != nil {
		return nil, err
	}
	resp := &adminv1.ListStockClustersResponse{}
	for _, c := range all {
		resp.StockClusters = append(resp.StockClusters, stockProto(c))
	}
	slices.SortFunc(resp.StockClusters, func(a, b *adminv1.StockCluster) int { return strings.Compare(a.GetName(), b.GetName()) })
	return resp, nil
}

// GetStockCluster implements covey.admin.v1.
func (s *stockClusters) GetStockCluster(ctx context.Context, req *adminv1.GetStockClusterRequest) (*adminv1.GetStockClusterResponse, error) {
	all, err := s.store.FollowedClusters(ctx)
	if err != nil {
		return nil, err
	}
	for _, c := range all {
		if tenancy.StockClusterName(c.ID) == req.GetName() {
			return &adminv1.GetStockClusterResponse{StockCluster: stockProto(c)}, nil
		}
	}
	return nil, store.ErrNotFound
}

// CreateStockCluster implements covey.admin.v1.
func (s *stockClusters) CreateStockCluster(ctx context.Context, req *adminv1.CreateStockClusterRequest) (*adminv1.CreateStockClusterResponse, error) {
	in := req.GetStockCluster()
	if in.GetName() != "" {
		return nil, errs.New(errs.Invalid, "INVALID_FIELD", "stock_cluster.name is not written").WithField("stock_cluster.name").WithNext("give stock_cluster_id")
	}
	return write(ctx, s.Server, req, "", func(ctx context.Context, tx *store.Tx) (*adminv1.CreateStockClusterResponse, error) {
		c, err := s.tenancy.CreateStockCluster(ctx, tx, tenancy.NewStockCluster{
			ID: req.GetStockClusterId(), DisplayName: in.GetDisplayName(), URLs: in.GetUrls(),
			TLSCA: in.GetTlsCa(), TLSCert: in.GetTlsCert(), TLSKey: in.GetTlsKey(), Creds: in.GetCredsFile(),
		})
		return &adminv1.CreateStockClusterResponse{StockCluster: stockProto(store.FollowedCluster{StockCluster: c})}, err
	})
}

// DeleteStockCluster implements covey.admin.v1.
func (s *stockClusters) DeleteStockCluster(ctx context.Context, req *adminv1.DeleteStockClusterRequest) (*adminv1.DeleteStockClusterResponse, error) {
	id := strings.TrimPrefix(req.GetName(), tenancy.StockClusterName(""))
	return write(ctx, s.Server, req, "", func(ctx context.Context, tx *store.Tx) (*adminv1.DeleteStockClusterResponse, error) {
		return &adminv1.DeleteStockClusterResponse{}, s.tenancy.DeleteStockCluster(ctx, tx, id)
	})
}

// ResyncStockCluster implements covey.admin.v1.
func (s *stockClusters) ResyncStockCluster(ctx context.Context, req *adminv1.ResyncStockClusterRequest) (*adminv1.ResyncStockClusterResponse, error) {
	id := strings.TrimPrefix(req.GetName(), tenancy.StockClusterName(""))
	status, err := s.store.StockStatus(ctx, id)
	if err != nil {
		return nil, err
	}
	return write(ctx, s.Server, req, "", func(ctx context.Context, tx *store.Tx) (*adminv1.ResyncStockClusterResponse, error) {
		c, err := s.tenancy.ResyncStockCluster(ctx, tx, id, req.GetForgetAbsent())
		return &adminv1.ResyncStockClusterResponse{StockCluster: stockProto(store.FollowedCluster{StockCluster: c, Status: status})}, err
	})
}

func stockProto(c store.FollowedCluster) *adminv1.StockCluster {
	out := &adminv1.StockCluster{
		Name: tenancy.StockClusterName(c.ID), DisplayName: c.DisplayName, Urls: c.URLs, TlsCa: c.TLSCA, TlsCert: c.TLSCert,
		State: stockState(c), Behind: c.Status.Behind, ForeignAccounts: c.Status.Foreign, UnreachableSinceTime: timestampOf(c.Status.Unreachable),
		LastError: c.Status.Error, LastErrorTime: timestampOf(c.Status.ErrorTime), LastVerifyTime: timestampOf(c.Status.VerifyTime),
		CreateTime: timestamppb.New(c.CreateTime),
	}
	for _, s := range c.Status.Servers {
		out.Servers = append(out.Servers, &adminv1.StockServer{
			Name: s.Name, Id: s.ID, Version: s.Version, Present: s.Present, AcknowledgedRevision: s.AckedRevision,
			AcknowledgeTime: timestampOf(s.AckTime), LastSeenTime: timestampOf(s.LastSeen),
		})
	}
	return out
}

func stockState(c store.FollowedCluster) adminv1.StockCluster_State {
	absent, unsure := 0, 0
	for _, s := range c.Status.Servers {
		switch {
		case !s.Present:
			absent++
		case s.Unsure:
			unsure++
		}
	}
	switch {
	case absent == len(c.Status.Servers):
		return adminv1.StockCluster_STATE_UNREACHABLE
	case unsure > 0 || c.Status.Behind > 0:
		return adminv1.StockCluster_STATE_BEHIND
	case absent > 0:
		return adminv1.StockCluster_STATE_DEGRADED
	}
	return adminv1.StockCluster_STATE_IN_SYNC
}
