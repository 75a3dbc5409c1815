package controlplane

import (
	"context"
	"log/slog"
	"time"
)

// every does some work now, and again and again until its context ends. A failure is
// tried again at the next turn; the log says what is so meanwhile.
func (s *Server) every(pause time.Duration, meanwhile string, work func(context.Context) error) func(context.Context) error {
	return func(ctx context.Context) error {
		ticker := time.NewTicker(pause)
		defer ticker.Stop()
		for {
			if err := work(ctx); err != nil && ctx.Err() == nil {
				s.log.WarnContext(ctx, meanwhile, slog.Any("err", err))
			}
			select {
			case <-ctx.Done():
				return nil
			case <-ticker.C:
			}
		}
	}
}
