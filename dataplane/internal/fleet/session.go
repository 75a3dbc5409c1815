package fleet

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"google.golang.org/grpc"

	"github.com/coveymq/covey/internal/lifecycle"
	fleetv1 "github.com/coveymq/covey/proto/covey/fleet/v1"
)

const (
	// inboundMax bounds what waits for the applier; the stream's flow control
	// holds the rest back, and the control plane merges it.
	inboundMax = 64
	// contactSaveInterval is how often the last contact is written to the disk.
	contactSaveInterval = 10 * time.Second
	// leaseTTLLeast keeps heartbeats apart whatever the control plane says.
	leaseTTLLeast = time.Second
)

var errNoWelcome = errors.New("no welcome")

// session is one Attend call. Three goroutines serve it: one receives, one
// applies, one sends.
type session struct {
	c        *Client
	stream   fleetv1.FleetService_AttendClient
	out      *outbox
	inbound  chan *fleetv1.AttendResponse
	applier  *applier
	welcomed bool
	leaseTTL time.Duration
}

func newSession(c *Client, sink Sink) *session {
	out := newOutbox()
	return &session{
		c: c, out: out,
		inbound: make(chan *fleetv1.AttendResponse, inboundMax),
		applier: &applier{c: c, sink: sink, out: out, failed: make(map[string]claims)},
	}
}

func (s *session) run(ctx context.Context) (err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer func() {
		s.out.err = err
		close(s.out.ended)
	}()
	late := time.AfterFunc(welcomeTimeout, func() { cancel(errNoWelcome) })
	defer late.Stop()
	s.stream, err = s.c.rpc.Attend(ctx, grpc.WaitForReady(false))
	if err != nil {
		return fmt.Errorf("attend: %w", err)
	}
	if err := s.stream.Send(s.c.hello()); err != nil {
		return s.sendError(err)
	}
	first, err := s.stream.Recv()
	if err != nil {
		return fmt.Errorf("await welcome: %w", err)
	}
	late.Stop()
	if err := s.welcome(ctx, first.GetWelcome()); err != nil {
		return err
	}
	g := lifecycle.NewGroup(ctx)
	defer context.AfterFunc(g.Context(), func() { cancel(nil) })() //nolint:contextcheck // the stream ends with the group
	g.Go(s.receive)
	g.Go(s.apply)
	g.Go(s.send)
	return g.Wait()
}

// sendError finds out why a stream broke: Send says only that it did.
func (s *session) sendError(err error) error {
	if !errors.Is(err, io.EOF) {
		return fmt.Errorf("send: %w", err)
	}
	for {
		if _, err := s.stream.Recv(); err != nil {
			return fmt.Errorf("send: %w", err)
		}
	}
}

// hello lists all that the broker holds. From now on until the answer nothing is
// taken from the cache: the control plane would not know of it.
func (c *Client) hello() *fleetv1.AttendRequest {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.setPhaseLocked(connecting)
	hello := &fleetv1.Hello{
		IncarnationId: c.cfg.IncarnationID, ServerName: c.cfg.ServerName, Version: c.cfg.Version,
		Accounts: make([]*fleetv1.HeldAccount, 0, len(c.accounts)), Authorities: c.identity.trusts(),
	}
	for account, h := range c.accounts {
		hello.Accounts = append(hello.Accounts, &fleetv1.HeldAccount{AccountPublicKey: account, Revision: h.revision})
	}
	return &fleetv1.AttendRequest{Message: &fleetv1.AttendRequest_Hello{Hello: hello}}
}

func (s *session) welcome(ctx context.Context, w *fleetv1.Welcome) error {
	if w == nil {
		return fmt.Errorf("%w: another message came first", errNoWelcome)
	}
	s.leaseTTL = max(w.GetLeaseTtl().AsDuration(), leaseTTLLeast)
	s.applier.operator(ctx, w.GetOperatorJwt())
	s.c.identity.want(w.GetAuthorities())
	s.c.duty.become(duty{draining: w.GetDraining()}, s.applier.sink)
	if err := s.c.saveContact(s.c.heard(w.GetOfflineGrace().AsDuration())); err != nil {
		s.c.log.LogAttrs(ctx, slog.LevelWarn, "last contact not saved", slog.Any("err", err))
	}
	s.welcomed = true
	s.c.mu.Lock()
	s.c.sessions++
	s.c.out, s.c.wantsSeen = s.out, w.GetWantsSightings()
	s.c.setPhaseLocked(online)
	s.c.mu.Unlock()
	s.c.log.LogAttrs(ctx, slog.LevelInfo, "attending", slog.Int64("rev", w.GetRevision()))
	return nil
}

func (s *session) receive(ctx context.Context) error {
	for {
		m, err := s.stream.Recv()
		if errors.Is(err, io.EOF) {
			return io.EOF // the other end closed in order
		}
		if err != nil {
			return fmt.Errorf("receive: %w", err)
		}
		select {
		case s.inbound <- m:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (s *session) apply(ctx context.Context) error {
	retry := time.NewTicker(time.Second)
	defer retry.Stop()
	for {
		select {
		case m := <-s.inbound:
			s.applier.handle(ctx, m)
		case <-retry.C:
			s.applier.retry(ctx)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (s *session) send(ctx context.Context) error {
	beat := time.NewTicker(s.leaseTTL * 3 / 10)
	defer beat.Stop()
	saved := time.Now()
	for {
		select {
		case <-beat.C:
			if err := s.post(s.c.heartbeat()); err != nil {
				return err
			}
			now := s.c.heard(0)
			if time.Since(saved) < contactSaveInterval {
				continue
			}
			saved = time.Now()
			if err := s.c.saveContact(now); err != nil {
				s.c.log.LogAttrs(ctx, slog.LevelWarn, "last contact not saved", slog.Any("err", err))
			}
		case <-s.out.signal:
			if err := s.post(s.out.take().requests()...); err != nil {
				return err
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// post sends. When the stream is broken the receiver knows why; it gets to say.
func (s *session) post(reqs ...*fleetv1.AttendRequest) error {
	for _, r := range reqs {
		if err := s.stream.Send(r); err != nil && !errors.Is(err, io.EOF) {
			return fmt.Errorf("send: %w", err)
		}
	}
	return nil
}

func (c *Client) heartbeat() *fleetv1.AttendRequest {
	beat := &fleetv1.Heartbeat{Authorities: c.identity.trusts()}
	if c.cfg.Stats != nil {
		beat.Connections, beat.Accounts = c.cfg.Stats()
	}
	return &fleetv1.AttendRequest{Message: &fleetv1.AttendRequest_Heartbeat{Heartbeat: beat}}
}
