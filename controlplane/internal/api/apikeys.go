package api

import (
	"context"
	"time"

	"github.com/coveymq/covey/controlplane/internal/store"
	"github.com/coveymq/covey/controlplane/internal/tenancy"
	apiv1 "github.com/coveymq/covey/proto/covey/api/v1"
)

// allParents stands for everybody who holds keys of an organization in a list.
const allParents = "-"

type apiKeys struct {
	apiv1.UnimplementedAPIKeyServiceServer
	*Server
}

func apiKeyProto(k store.APIKey, now time.Time) *apiv1.APIKey {
	state := apiv1.APIKey_STATE_ACTIVE
	switch {
	case tenancy.KeyExpired(k, now):
		state = apiv1.APIKey_STATE_EXPIRED
	case k.Disabled:
		state = apiv1.APIKey_STATE_DISABLED
	}
	return &apiv1.APIKey{
		Name: tenancy.KeyName(k), DisplayName: k.DisplayName, State: state, CreateTime: timestamp(k.CreateTime),
		ExpireTime: timestamp(k.ExpireTime), LastUsedTime: timestamp(k.UseTime), Requester: k.Requester, Etag: tenancy.Etag(k.Revision),
	}
}

// CreateAPIKey implements apiv1.APIKeyServiceServer.
func (s *apiKeys) CreateAPIKey(ctx context.Context, req *apiv1.CreateAPIKeyRequest) (*apiv1.CreateAPIKeyResponse, error) {
	n, err := parseName(req.GetParent())
	if err != nil {
		return nil, err
	}
	in := tenancy.NewKey{DisplayName: req.GetDisplayName(), TTL: seconds(req.GetTtlSeconds())}
	return write(ctx, s.Server, req, n.organization, func(ctx context.Context, tx *store.Tx) (*apiv1.CreateAPIKeyResponse, error) {
		made, err := s.tenancy.CreateKey(ctx, tx, callerOf(ctx), n.holder(), in)
		if err != nil {
			return nil, err
		}
		resp := &apiv1.CreateAPIKeyResponse{ApiKey: apiKeyProto(made.Key, tx.Now)}
		if !req.GetValidateOnly() {
			resp.Secret = made.Token.Reveal()
		}
		return resp, nil
	})
}

// GetAPIKey implements apiv1.APIKeyServiceServer.
func (s *apiKeys) GetAPIKey(ctx context.Context, req *apiv1.GetAPIKeyRequest) (*apiv1.GetAPIKeyResponse, error) {
	v, n, err := s.view(ctx, req.GetName())
	if err != nil {
		return nil, err
	}
	k, err := v.Key(ctx, n.holder(), n.apiKey)
	if err != nil {
		return nil, err
	}
	return &apiv1.GetAPIKeyResponse{ApiKey: apiKeyProto(k, time.Now())}, nil
}

// ListAPIKeys implements apiv1.APIKeyServiceServer.
func (s *apiKeys) ListAPIKeys(ctx context.Context, req *apiv1.ListAPIKeysRequest) (*apiv1.ListAPIKeysResponse, error) {
	page, v, n, err := s.parent(ctx, req)
	if err != nil {
		return nil, err
	}
	var keys []store.APIKey
	var next string
	if n.serviceAccount == allParents {
		if _, err := v.Org(ctx); err != nil {
			return nil, err
		}
		keys, next, err = v.OrgKeys(ctx, page)
	} else {
		if _, err := v.Bearer(ctx, n.holder()); err != nil {
			return nil, err
		}
		keys, err = v.Keys(ctx, n.holder())
		keys, next = pageOf(keys, page)
	}
	if err != nil {
		return nil, err
	}
	resp := &apiv1.ListAPIKeysResponse{NextPageToken: store.Token(next)}
	for _, k := range keys {
		resp.ApiKeys = append(resp.ApiKeys, apiKeyProto(k, time.Now()))
	}
	return resp, nil
}

// pageOf cuts a page out of the few keys of one holder.
func pageOf(keys []store.APIKey, p store.Page) ([]store.APIKey, string) {
	for len(keys) > 0 && keys[0].ID <= p.After {
		keys = keys[1:]
	}
	if len(keys) <= p.Size {
		return keys, ""
	}
	return keys[:p.Size], keys[p.Size-1].ID
}

// RotateAPIKey implements apiv1.APIKeyServiceServer.
func (s *apiKeys) RotateAPIKey(ctx context.Context, req *apiv1.RotateAPIKeyRequest) (*apiv1.RotateAPIKeyResponse, error) {
	n, err := parseName(req.GetName())
	if err != nil {
		return nil, err
	}
	var overlap *time.Duration
	if req.OverlapSeconds != nil {
		d := seconds(req.GetOverlapSeconds())
		overlap = &d
	}
	after := false // the old key is accepted for a time
	return preview(ctx, s.Server, req, n.organization, func(ctx context.Context, tx *store.Tx) (*apiv1.RotateAPIKeyResponse, error) {
		made, err := s.tenancy.RotateKey(ctx, tx, callerOf(ctx), n.holder(), n.apiKey, req.GetEtag(), overlap, seconds(req.GetTtlSeconds()))
		if err != nil {
			return nil, err
		}
		after = !tenancy.KeyExpired(made.Rotated, tx.Now)
		resp := &apiv1.RotateAPIKeyResponse{ApiKey: apiKeyProto(made.Key, tx.Now), Rotated: apiKeyProto(made.Rotated, tx.Now)}
		if !req.GetValidateOnly() {
			resp.Secret = made.Token.Reveal()
		}
		return resp, nil
	}, func(ctx context.Context, tx *store.Tx) (touched, error) {
		if after {
			return touched{}, nil
		}
		k, err := tx.Key(ctx, n.holder(), n.apiKey)
		return touched{apiKeys: acceptedKey(k, tx.Now)}, err
	})
}

// DisableAPIKey implements apiv1.APIKeyServiceServer.
func (s *apiKeys) DisableAPIKey(ctx context.Context, req *apiv1.DisableAPIKeyRequest) (*apiv1.DisableAPIKeyResponse, error) {
	n, err := parseName(req.GetName())
	if err != nil {
		return nil, err
	}
	return preview(ctx, s.Server, req, n.organization, func(ctx context.Context, tx *store.Tx) (*apiv1.DisableAPIKeyResponse, error) {
		k, err := s.tenancy.SetKeyDisabled(ctx, tx, callerOf(ctx), n.holder(), n.apiKey, req.GetEtag(), true)
		return &apiv1.DisableAPIKeyResponse{ApiKey: apiKeyProto(k, tx.Now)}, err
	}, func(ctx context.Context, tx *store.Tx) (touched, error) {
		k, err := tx.Key(ctx, n.holder(), n.apiKey)
		return touched{apiKeys: acceptedKey(k, tx.Now)}, err
	})
}

// EnableAPIKey implements apiv1.APIKeyServiceServer.
func (s *apiKeys) EnableAPIKey(ctx context.Context, req *apiv1.EnableAPIKeyRequest) (*apiv1.EnableAPIKeyResponse, error) {
	n, err := parseName(req.GetName())
	if err != nil {
		return nil, err
	}
	return write(ctx, s.Server, req, n.organization, func(ctx context.Context, tx *store.Tx) (*apiv1.EnableAPIKeyResponse, error) {
		k, err := s.tenancy.SetKeyDisabled(ctx, tx, callerOf(ctx), n.holder(), n.apiKey, req.GetEtag(), false)
		return &apiv1.EnableAPIKeyResponse{ApiKey: apiKeyProto(k, tx.Now)}, err
	})
}

// DeleteAPIKey implements apiv1.APIKeyServiceServer.
func (s *apiKeys) DeleteAPIKey(ctx context.Context, req *apiv1.DeleteAPIKeyRequest) (*apiv1.DeleteAPIKeyResponse, error) {
	n, err := parseName(req.GetName())
	if err != nil {
		return nil, err
	}
	return preview(ctx, s.Server, req, n.organization, func(ctx context.Context, tx *store.Tx) (*apiv1.DeleteAPIKeyResponse, error) {
		err := s.tenancy.DeleteKey(ctx, tx, callerOf(ctx), n.holder(), n.apiKey, req.GetEtag())
		return &apiv1.DeleteAPIKeyResponse{}, err
	}, func(ctx context.Context, tx *store.Tx) (touched, error) {
		k, err := tx.Key(ctx, n.holder(), n.apiKey)
		return touched{apiKeys: acceptedKey(k, tx.Now)}, err
	})
}
