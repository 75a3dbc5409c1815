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
	if err := s.forgetAcks(ctx); err != nil {
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

// forgetAcks removes tables of acknowledgements none of which counts any more:
// those of control planes that are gone, once their brokers attend elsewhere.
func (s *Service) forgetAcks(ctx context.Context) error {
	// What may be forgotten is read before the records: a session that begins in
	// between writes its table later than it was read, and has not ended.
	ended := s.acks.ended()
	tables, err := s.etcd.Get(ctx, acksPrefix, clientv3.WithPrefix(), clientv3.WithKeysOnly())
	if err != nil {
		return fmt.Errorf("read acknowledgements: %w", err)
	}
	brokers, err := readBrokers(ctx, s.etcd)
	if err != nil {
		return err
	}
	sessions, planes := make(map[string]bool), make(map[string]bool)
	for _, b := range brokers {
		sessions[b.Session], planes[planeOf(b.Session)] = true, true
	}
	for broker, name := range ended {
		if !sessions[name] {
			s.acks.prune(broker, name)
		}
	}
	for _, kv := range tables.Kvs {
		if planes[string(kv.Key[len(acksPrefix):])] {
			continue
		}
		if _, err := s.etcd.Txn(ctx).If(clientv3.Compare(clientv3.ModRevision(string(kv.Key)), "=", kv.ModRevision)).
			Then(clientv3.OpDelete(string(kv.Key))).Commit(); err != nil {
			return fmt.Errorf("delete acknowledgements: %w", err)
		}
	}
	return nil
}
