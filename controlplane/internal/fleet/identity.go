package fleet

import (
	"context"
	"log/slog"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	fleetv1 "github.com/coveymq/covey/proto/covey/fleet/v1"
)

const brokerIDPrefix = "brk_"

type brokerIDKey struct{}

// BrokerID returns which broker calls, as its verified certificate says; false
// if the caller showed none. It works in handlers of any gRPC server whose
// listener uses TLSConfig.
func BrokerID(ctx context.Context) (string, bool) {
	if id, ok := ctx.Value(brokerIDKey{}).(string); ok {
		return id, true
	}
	p, ok := peer.FromContext(ctx)
	if !ok {
		return "", false
	}
	info, ok := p.AuthInfo.(credentials.TLSInfo)
	if !ok || len(info.State.VerifiedChains) == 0 {
		return "", false
	}
	id := info.State.VerifiedChains[0][0].Subject.CommonName
	return id, strings.HasPrefix(id, brokerIDPrefix)
}

// identify lets only enrolled brokers through; Enrol is how one becomes one.
func (s *Service) identify(ctx context.Context, method string) (context.Context, error) {
	id, ok := BrokerID(ctx)
	if ok && s.feed.revoked(id) {
		return nil, errRevoked
	}
	if ok {
		return context.WithValue(ctx, brokerIDKey{}, id), nil
	}
	if method == fleetv1.FleetService_Enrol_FullMethodName {
		return ctx, nil
	}
	addr := "unknown"
	if p, ok := peer.FromContext(ctx); ok {
		addr = p.Addr.String()
	}
	s.log.LogAttrs(ctx, slog.LevelWarn, "call without a broker certificate refused",
		slog.String("method", method), slog.String("addr", addr))
	return nil, status.Error(codes.Unauthenticated, "a broker certificate is needed; enrol with a join token first")
}

func (s *Service) identifyUnary(ctx context.Context, req any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
	ctx, err := s.identify(ctx, info.FullMethod)
	if err != nil {
		return nil, err
	}
	return next(ctx, req)
}

func (s *Service) identifyStream(srv any, stream grpc.ServerStream, info *grpc.StreamServerInfo, next grpc.StreamHandler) error {
	if _, err := s.identify(stream.Context(), info.FullMethod); err != nil {
		return err
	}
	return next(srv, stream)
}
