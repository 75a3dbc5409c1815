package fleet

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

const (
	garbageInterval = time.Hour
	// garbageAge is how long a broker that is gone stays listed. It is also how
	// long certificates live: a broker away for longer must join anew anyway.
	garbageAge = brokerCertificateLife
)

// collectGarbage forgets brokers that are long gone. Any number of control
// planes may do so at once.
func (s *Service) collectGarbage(ctx context.Context) error {
	t := time.NewTicker(garbageInterval)
	defer t.Stop()
	for {
		if err := s.forget(ctx, time.Now()); err != nil && ctx.Err() == nil {
			s.log.LogAttrs(ctx, slog.LevelWarn, "old brokers not removed", slog.Any("err", err))
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-t.C:
		}
	}
}

func (s *Service) forget(ctx context.Context, now time.Time) error {
	brokers, err := readBrokers(ctx, s.etcd)
	if err != nil {
		return err
	}
	for _, b := range brokers {
		gone := b.Exited || now.After(b.ServeUntil)
		if b.Leased || !gone || now.Sub(b.LastContact) < garbageAge {
			continue
		}
		done, err := s.etcd.Txn(ctx).If(
			clientv3.Compare(clientv3.ModRevision(brokerPrefix+b.ID), "=", b.modRevision),
			clientv3.Compare(clientv3.CreateRevision(leasePrefix+b.ID), "=", 0),
		).Then(clientv3.OpDelete(brokerPrefix+b.ID), clientv3.OpDelete(orderPrefix+b.ID)).Commit()
		if err != nil {
			return fmt.Errorf("delete broker %s: %w", b.ID, err)
		}
		if done.Succeeded {
			s.log.LogAttrs(ctx, slog.LevelInfo, "broker forgotten", slog.String("broker", b.ID),
				slog.String("server_name", b.ServerName), slog.Time("last_contact", b.LastContact))
		}
	}
	return nil
}
