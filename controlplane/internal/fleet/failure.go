package fleet

import (
	"context"
	"log/slog"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

var (
	errBrokerUnknown = status.Error(codes.Unauthenticated,
		"this broker is not part of the fleet any more; enrol it with a new join token")
	errRevoked = status.Error(codes.Unauthenticated,
		"this broker's certificate was revoked; nothing of it is accepted any more")
	errRetired = status.Error(codes.Unauthenticated,
		"the authority that signed this certificate was retired; enrol with a new join token")
	errStopping   = status.Error(codes.Unavailable, "the control plane is stopping")
	errNotAttend  = status.Error(codes.Unavailable, "attend first")
	errSuperseded = status.Error(codes.Aborted, "a newer session of this broker took over")
	errLeaseLost  = status.Error(codes.Unavailable, "the broker's lease is lost; attend again")
	errTooMany    = status.Errorf(codes.ResourceExhausted, "a broker may hold at most %d accounts", heldMax)
)

// unavailable logs err and returns what a broker may see: try again.
func (s *Service) unavailable(ctx context.Context, step string, err error) error {
	s.log.LogAttrs(ctx, slog.LevelWarn, "fleet call failed", slog.String("step", step), slog.Any("err", err))
	return status.Error(codes.Unavailable, step+": the store is not available now")
}

// internal logs err and hides it from the broker.
func (s *Service) internal(ctx context.Context, step string, err error) error {
	s.log.LogAttrs(ctx, slog.LevelError, "fleet call failed", slog.String("step", step), slog.Any("err", err))
	return status.Error(codes.Internal, step+": internal error")
}
