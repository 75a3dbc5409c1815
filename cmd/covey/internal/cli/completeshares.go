package cli

import (
	"context"

	apiv1 "github.com/coveymq/covey/proto/covey/api/v1"
)

func listExports(ctx context.Context, s *session, in asked) ([]string, error) {
	parent, err := in.defaultAccount()
	if err != nil {
		return nil, err
	}
	r, err := apiv1.NewExportServiceClient(s).ListExports(ctx, &apiv1.ListExportsRequest{Parent: parent, PageSize: pageSize})
	return idsOf(r.GetExports(), err)
}

func listImports(ctx context.Context, s *session, in asked) ([]string, error) {
	parent, err := in.defaultAccount()
	if err != nil {
		return nil, err
	}
	r, err := apiv1.NewImportServiceClient(s).ListImports(ctx, &apiv1.ListImportsRequest{Parent: parent, PageSize: pageSize})
	return idsOf(r.GetImports(), err)
}

// listOffers are full names: an offer is of an export, which no flag says.
func listOffers(ctx context.Context, s *session, in asked) ([]string, error) {
	parent, err := in.defaultAccount()
	if err != nil {
		return nil, err
	}
	r, err := apiv1.NewShareServiceClient(s).ListShareOffers(ctx, &apiv1.ListShareOffersRequest{Parent: parent, PageSize: pageSize})
	return fullNamesOf(r.GetShareOffers(), err)
}

func listShares(ctx context.Context, s *session, in asked) ([]string, error) {
	parent, err := in.orgName()
	if err != nil {
		return nil, err
	}
	r, err := apiv1.NewShareServiceClient(s).ListShares(ctx, &apiv1.ListSharesRequest{Parent: parent, PageSize: pageSize})
	return idsOf(r.GetShares(), err)
}

func listFederation(ctx context.Context, s *session, in asked) ([]string, error) {
	parent, err := in.defaultAccount()
	if err != nil {
		return nil, err
	}
	r, err := apiv1.NewFederationServiceClient(s).ListFederationPolicies(ctx, &apiv1.ListFederationPoliciesRequest{Parent: parent, PageSize: pageSize})
	return idsOf(r.GetFederationPolicies(), err)
}

func listAlerts(ctx context.Context, s *session, in asked) ([]string, error) {
	parent, err := in.orgName()
	if err != nil {
		return nil, err
	}
	r, err := apiv1.NewAlertServiceClient(s).ListAlerts(ctx, &apiv1.ListAlertsRequest{Parent: parent, PageSize: pageSize})
	return idsOf(r.GetAlerts(), err)
}

func listAlertPolicies(ctx context.Context, s *session, in asked) ([]string, error) {
	parent, err := in.orgName()
	if err != nil {
		return nil, err
	}
	r, err := apiv1.NewAlertServiceClient(s).ListAlertPolicies(ctx, &apiv1.ListAlertPoliciesRequest{Parent: parent, PageSize: pageSize})
	return idsOf(r.GetAlertPolicies(), err)
}
