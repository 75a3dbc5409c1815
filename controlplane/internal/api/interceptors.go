package api

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path"
	"runtime/debug"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/coveymq/covey/accounts"
	"github.com/coveymq/covey/controlplane/internal/authn"
	"github.com/coveymq/covey/controlplane/internal/authz"
	"github.com/coveymq/covey/controlplane/internal/store"
	"github.com/coveymq/covey/internal/errs"
	"github.com/coveymq/covey/internal/grpcerr"
)

// requestIDHeader is the response metadata that names the call.
const requestIDHeader = "covey-request-id"

// call is what the interceptors find out about one call.
type call struct {
	id        string // to quote; not the request_id of a write
	method    string // full name
	principal authn.Principal
	resource  string // the resource that the request names
}

type callKey struct{}

func callOf(ctx context.Context) *call {
	c, ok := ctx.Value(callKey{}).(*call)
	if !ok {
		return &call{}
	}
	return c
}

// describe is the outermost: it names the call, bounds its time, and turns
// what went wrong into a status and a log line. Here the error stops.
func (s *Server) describe(ctx context.Context, req any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
	c := &call{id: accounts.NewUID(accounts.PrefixRequest, time.Now()), method: info.FullMethod}
	ctx = context.WithValue(ctx, callKey{}, c)
	limit := deadlineMax
	if _, has := ctx.Deadline(); !has && path.Base(info.FullMethod) != "WaitOperation" {
		limit = deadlineDefault
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	_ = grpc.SetHeader(ctx, metadata.Pairs(requestIDHeader, c.id))
	resp, err := next(ctx, req)
	if err == nil {
		return resp, nil
	}
	st := grpcerr.ToStatus(err, c.id)
	s.logFailure(ctx, c, st, err)
	return nil, st.Err()
}

func (s *Server) logFailure(ctx context.Context, c *call, st *status.Status, err error) {
	level := slog.LevelInfo
	if st.Code() == codes.Internal {
		level = slog.LevelError
	}
	from := ""
	if p, ok := peer.FromContext(ctx); ok && p.Addr != nil {
		from = p.Addr.String()
	}
	if forwarded := metadata.ValueFromIncomingContext(ctx, "x-forwarded-for"); len(forwarded) > 0 {
		from += " for " + forwarded[0] // the REST gateway says for whom; others may claim anything
	}
	s.log.Log(ctx, level, "call refused", "method", path.Base(c.method), "code", st.Code().String(), "reason", err,
		"key", c.principal.KeyID, "role", c.principal.Roles(), "organization", c.principal.Organization,
		"resource", c.resource, "peer", from, "call", c.id)
}

// guard turns a panic of a handler into an internal error of that call.
func (s *Server) guard(ctx context.Context, req any, _ *grpc.UnaryServerInfo, next grpc.UnaryHandler) (resp any, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	return next(ctx, req)
}

// admit lets a call through once its caller is known, may do it, and sent a
// valid request.
func (s *Server) admit(ctx context.Context, req any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
	if public(info.FullMethod) {
		return next(ctx, req)
	}
	c := callOf(ctx)
	message, ok := req.(proto.Message)
	if !ok {
		return nil, fmt.Errorf("request of type %T is not a message", req)
	}
	if err := s.authorize(ctx, c, message); err != nil {
		return nil, err
	}
	if err := s.check(message); err != nil {
		return nil, err
	}
	resp, err := listed(ctx, message, next)
	return resp, hideAbsent(c, err)
}

// hideAbsent gives what is not there its one answer.
func hideAbsent(c *call, err error) error {
	var e *errs.Error
	if errors.As(err, &e) && e == store.ErrNotFound {
		return notFound(c.resource)
	}
	return err
}

// authorize finds out who calls and refuses what they may not call. A method
// that takes a token of its own in place of an API key looks at it itself.
func (s *Server) authorize(ctx context.Context, c *call, message proto.Message) error {
	if authz.TakesToken(c.method) {
		return nil
	}
	principal, err := authn.Authenticate(ctx, s.store, authorization(ctx), time.Now())
	c.principal = principal
	if err != nil {
		return err
	}
	s.uses.Note(principal.KeyID, time.Now())
	c.resource = resourceOf(message)
	switch authz.Decide(principal, c.method, aboutOf(c.resource)) {
	case authz.Allowed:
		return nil
	case authz.Hidden:
		return notFound(c.resource)
	case authz.Denied:
	}
	return errs.New(errs.Denied, "ROLE_DENIED", "an API key with the role %q may not call %s", principal.Roles(), path.Base(c.method)).
		WithNext("ask an owner of the organization")
}

// notFound is the one answer for what is absent and for what is another
// organization's. It names what the caller asked for, which tells it nothing.
func notFound(resource string) error {
	return errs.New(errs.NotFound, store.ErrNotFound.Reason, "there is no %q", resource)
}

// public reports whether a method needs no API key: health, and reflection,
// which shows only what is published anyway.
func public(method string) bool {
	return strings.HasPrefix(method, "/grpc.health.v1.Health/") || strings.HasPrefix(method, "/grpc.reflection.")
}

func authorization(ctx context.Context) string {
	values := metadata.ValueFromIncomingContext(ctx, "authorization")
	if len(values) == 0 {
		return ""
	}
	return values[0]
}
