package api

import (
	"context"
	"fmt"
	"runtime/debug"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"

	"github.com/coveymq/covey/accounts"
	"github.com/coveymq/covey/internal/grpcerr"
)

// callStream is a stream whose context knows its call.
type callStream struct {
	grpc.ServerStream
	ctx   context.Context //nolint:containedctx // what a stream is asked for
	admit func(proto.Message) error
}

// Context implements grpc.ServerStream.
func (s *callStream) Context() context.Context { return s.ctx }

// RecvMsg implements grpc.ServerStream. The one request of a server's stream
// goes through the checks of every request.
func (s *callStream) RecvMsg(m any) error {
	if err := s.ServerStream.RecvMsg(m); err != nil {
		return err
	}
	message, ok := m.(proto.Message)
	if !ok {
		return fmt.Errorf("request of type %T is not a message", m)
	}
	return s.admit(message)
}

// describeStream is describe for streams. They have no deadline of ours: what
// bounds them is said where they are served.
func (s *Server) describeStream(srv any, stream grpc.ServerStream, info *grpc.StreamServerInfo, next grpc.StreamHandler) (err error) {
	if public(info.FullMethod) {
		return next(srv, stream)
	}
	c := &call{id: accounts.NewUID(accounts.PrefixRequest, time.Now()), method: info.FullMethod}
	ctx := context.WithValue(stream.Context(), callKey{}, c)
	_ = stream.SetHeader(metadata.Pairs(requestIDHeader, c.id))
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
		if err != nil {
			st := grpcerr.ToStatus(err, c.id)
			s.logFailure(ctx, c, st, err)
			err = st.Err()
		}
	}()
	return next(srv, &callStream{ServerStream: stream, ctx: ctx})
}

// admitStream is admit for streams.
func (s *Server) admitStream(srv any, stream grpc.ServerStream, info *grpc.StreamServerInfo, next grpc.StreamHandler) error {
	if public(info.FullMethod) {
		return next(srv, stream)
	}
	described, ok := stream.(*callStream)
	if !ok {
		return fmt.Errorf("stream of type %T was not described", stream)
	}
	c := callOf(described.ctx)
	described.admit = func(m proto.Message) error {
		if err := s.authorize(described.ctx, c, m); err != nil {
			return err
		}
		return s.check(m)
	}
	return hideAbsent(c, next(srv, described))
}
