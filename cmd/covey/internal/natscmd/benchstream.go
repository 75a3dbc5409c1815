package natscmd

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/coveymq/covey/internal/lifecycle"
)

// stream is one run of publishers and receivers.
type stream struct {
	bench   *bench
	subject string
	start   time.Time
	done    chan struct{} // closed when everything expected has arrived

	// atomic
	published, received, outOfOrder atomic.Int64
	publishedAt, receivedAt         atomic.Int64 // ns since start of the last one
	expected                        int64        // immutable after setup
}

// measureStream publishes and counts what arrives. Receivers are subscribed
// before the first message is sent.
func (b *bench) measureStream(ctx context.Context, subject string) (*result, error) {
	s := &stream{bench: b, subject: subject, done: make(chan struct{}), expected: b.messages}
	if b.queue == "" {
		s.expected *= int64(b.receivers)
	}
	if b.receivers == 0 {
		s.expected = 0
	}
	conns := make([]*nats.Conn, 0, b.publishers+b.receivers)
	defer func() {
		for _, nc := range conns {
			nc.Close()
		}
	}()
	for i := range b.publishers + b.receivers {
		nc, err := b.connect(&b.dial, "covey bench", nats.NoReconnect())
		if err != nil {
			return nil, err
		}
		conns = append(conns, nc)
		if i < b.receivers {
			if err := s.subscribe(nc); err != nil {
				return nil, err
			}
		}
	}
	b.streams.Sayf("%d publishers, %d receivers, %d messages of %d bytes on %s", b.publishers, b.receivers, b.messages, b.size, subject)
	s.start = time.Now()
	if err := s.publishAll(ctx, conns[b.receivers:]); err != nil {
		return nil, err
	}
	if err := s.await(ctx, conns[:b.receivers]); err != nil {
		return nil, err
	}
	return s.result(), nil
}

// subscribe counts on the connection's own callback goroutine, which owns last.
func (s *stream) subscribe(nc *nats.Conn) error {
	last := make(map[uint64]uint64, max(1, s.bench.publishers))
	incoming, err := nc.QueueSubscribe(s.subject, s.bench.queue, func(m *nats.Msg) { s.count(m, last) })
	if err != nil {
		return fmt.Errorf("subscribe: %w", err)
	}
	// What waits here is bounded by the run itself.
	if err := incoming.SetPendingLimits(-1, -1); err != nil {
		return fmt.Errorf("set pending limits: %w", err)
	}
	return settled(nc, s.bench.dial.connectTimeout)
}

func (s *stream) count(m *nats.Msg, last map[uint64]uint64) {
	if len(m.Data) >= benchSizeMin {
		publisher, seq := binary.LittleEndian.Uint64(m.Data), binary.LittleEndian.Uint64(m.Data[8:])
		if seq <= last[publisher] {
			s.outOfOrder.Add(1)
		}
		last[publisher] = seq
	}
	if s.received.Add(1) == s.expected {
		s.receivedAt.Store(int64(time.Since(s.start)))
		close(s.done)
	}
}

func (s *stream) publishAll(ctx context.Context, conns []*nats.Conn) error {
	if len(conns) == 0 {
		return nil
	}
	g := lifecycle.NewGroup(ctx)
	for i, nc := range conns {
		g.Side(func(ctx context.Context) error {
			return s.publish(ctx, nc, uint64(i), share(s.bench.messages, len(conns), i))
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	s.publishedAt.Store(int64(time.Since(s.start)))
	return ctx.Err()
}

// ctxEvery is how many messages go out between looks at the clock.
const ctxEvery = 1024

func (s *stream) publish(ctx context.Context, nc *nats.Conn, publisher uint64, n int64) error {
	body := make([]byte, s.bench.size)
	binary.LittleEndian.PutUint64(body, publisher)
	for seq := int64(1); seq <= n; seq++ {
		if seq%ctxEvery == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		binary.LittleEndian.PutUint64(body[8:], uint64(seq))
		if err := nc.Publish(s.subject, body); err != nil {
			return fmt.Errorf("publish: %w", err)
		}
		s.published.Add(1)
	}
	return settled(nc, s.bench.timeout)
}

// await waits for what is expected; a receiver that loses its connection, or
// time that is up, ends it with what there is.
func (s *stream) await(ctx context.Context, receivers []*nats.Conn) error {
	if s.expected == 0 {
		return nil
	}
	select {
	case <-s.done:
	case <-ctx.Done():
		s.receivedAt.Store(int64(time.Since(s.start)))
		for _, nc := range receivers {
			if err := nc.LastError(); err != nil {
				return err
			}
		}
		if errors.Is(ctx.Err(), context.Canceled) {
			return ctx.Err()
		}
	}
	return nil
}

func (s *stream) result() *result {
	published, received := s.published.Load(), s.received.Load()
	pubTime, recvTime := time.Duration(s.publishedAt.Load()), time.Duration(s.receivedAt.Load())
	return &result{
		Subject: s.subject, Size: s.bench.size, Published: published, Expected: s.expected, Received: received,
		OutOfOrder: s.outOfOrder.Load(), Seconds: max(pubTime, recvTime).Seconds(),
		PublishRate: rate(published, pubTime), ReceiveRate: rate(received, recvTime),
	}
}
