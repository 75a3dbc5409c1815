package fleet

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"time"

	"github.com/nats-io/nkeys"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	fleetv1 "github.com/coveymq/covey/proto/covey/fleet/v1"
)

const (
	// heldMax bounds the accounts of one broker.
	heldMax = 1 << 20
	// incarnationMax is generous for a UUID.
	incarnationMax = 64
	versionMax     = 64
	refusalsMax    = 1000 // of one message
	sightingsMax   = 1000 // likewise
)

// Attend runs one broker's session until the broker leaves, loses its lease or
// is superseded, or the control plane stops.
func (s *Service) Attend(stream fleetv1.FleetService_AttendServer) error {
	id, ok := BrokerID(stream.Context())
	if !ok {
		return errBrokerUnknown
	}
	first, err := stream.Recv()
	if err != nil {
		return err
	}
	hello := first.GetHello()
	if err := checkHello(hello); err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(stream.Context())
	defer cancel(nil)
	ses := newSession(s, stream, id, hello, cancel)
	if err := s.admit(ses); err != nil {
		return err
	}
	defer s.dismiss(ses)
	if ses.draining, err = ses.keeper.begin(ctx, hello); err != nil {
		return err
	}
	ses.log.LogAttrs(ctx, slog.LevelInfo, "broker attends", slog.Int("accounts", len(hello.GetAccounts())))
	err = ses.run(ctx)
	ses.log.LogAttrs(ctx, slog.LevelInfo, "broker left", slog.Any("err", err))
	return err
}

func checkHello(hello *fleetv1.Hello) error {
	switch {
	case hello == nil:
		return status.Error(codes.InvalidArgument, "the first message must be hello")
	case hello.GetIncarnationId() == "" || len(hello.GetIncarnationId()) > incarnationMax:
		return status.Errorf(codes.InvalidArgument, "incarnation_id: must have 1 to %d bytes", incarnationMax)
	case hello.GetServerName() == "" || len(hello.GetServerName()) > serverNameMax:
		return status.Errorf(codes.InvalidArgument, "server_name: must have 1 to %d bytes", serverNameMax)
	case len(hello.GetVersion()) > versionMax:
		return status.Errorf(codes.InvalidArgument, "version: must have at most %d bytes", versionMax)
	case len(hello.GetAccounts()) > heldMax:
		return errTooMany
	}
	for _, a := range hello.GetAccounts() {
		if !nkeys.IsValidPublicAccountKey(a.GetAccountPublicKey()) {
			return status.Error(codes.InvalidArgument, "accounts: not an account public key")
		}
	}
	return nil
}

// admit makes ses the broker's session; an older one ends.
func (s *Service) admit(ses *session) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopped {
		return errStopping
	}
	if old := s.sessions[ses.broker]; old != nil {
		old.cancel(errSuperseded)
	}
	s.sessions[ses.broker] = ses
	s.feed.join(ses.queue)
	s.receivers.Go(ses.receive)
	return nil
}

func (s *Service) dismiss(ses *session) {
	s.mu.Lock()
	if s.sessions[ses.broker] == ses {
		delete(s.sessions, ses.broker)
	}
	s.mu.Unlock()
	ses.close()
	s.acks.end(ses.broker, ses.keeper.number)
}

// leased ends the session here of a broker whose lease is another session's, or
// nobody's, since revision.
func (s *Service) leased(broker, session string, revision int64) {
	if ses := s.session(broker); ses != nil && !ses.keeper.leased(session, revision) {
		ses.cancel(errLeaseLost)
	}
}

// session returns the calling broker's session at this control plane.
func (s *Service) session(broker string) *session {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sessions[broker]
}

func newSession(s *Service, stream fleetv1.FleetService_AttendServer, broker string,
	hello *fleetv1.Hello, cancel context.CancelCauseFunc,
) *session {
	log := s.log.With(slog.String("broker", broker), slog.String("server_name", hello.GetServerName()))
	ses := &session{
		service: s, broker: broker, stream: stream, cancel: cancel, log: log,
		queue: newQueue(broker), held: make(map[string]int64, len(hello.GetAccounts())),
		begun: make(chan struct{}), asked: make(map[string]clientv3.LeaseID),
	}
	for _, a := range hello.GetAccounts() {
		ses.held[a.GetAccountPublicKey()] = a.GetRevision()
	}
	name, number := s.acks.name()
	ses.keeper = &keeper{
		etcd: s.etcd, ttl: s.leaseTTL, grace: s.offlineGrace, broker: broker, acks: s.acks, number: number,
		session: name, log: log, signal: make(chan struct{}, 1),
	}
	return ses
}

// receive reads what the broker says until the stream ends.
func (ses *session) receive() {
	ctx := ses.stream.Context()
	select {
	case <-ses.begun:
	case <-ctx.Done():
		return
	}
	for {
		m, err := ses.stream.Recv()
		if err == nil {
			err = ses.hear(m)
		}
		switch {
		case err == nil:
			continue
		case errors.Is(err, errGoodbye), errors.Is(err, io.EOF):
			ses.cancel(err)
		default:
			ses.cancel(err)
		}
		return
	}
}

func (ses *session) hear(m *fleetv1.AttendRequest) error {
	switch v := m.GetMessage().(type) {
	case *fleetv1.AttendRequest_Hold:
		return ses.hearHold(v.Hold)
	case *fleetv1.AttendRequest_Acknowledge:
		if v.Acknowledge.GetRevision() > ses.watermark.Load() {
			return status.Error(codes.InvalidArgument, "acknowledge: revision was never sent")
		}
		ses.keeper.acknowledged(v.Acknowledge.GetRevision())
	case *fleetv1.AttendRequest_Heartbeat:
		ses.keeper.heartbeat(v.Heartbeat)
	case *fleetv1.AttendRequest_Refusals:
		if len(v.Refusals.GetRefusals()) > refusalsMax {
			return status.Errorf(codes.InvalidArgument, "refusals: at most %d", refusalsMax)
		}
		if ses.service.refused != nil {
			ses.service.refused(v.Refusals)
		}
	case *fleetv1.AttendRequest_Sightings:
		if len(v.Sightings.GetSightings()) > sightingsMax {
			return status.Errorf(codes.InvalidArgument, "sightings: at most %d", sightingsMax)
		}
		if ses.service.seen == nil {
			return status.Error(codes.InvalidArgument, "sightings: they are not wanted")
		}
		ses.service.seen(v.Sightings)
	case *fleetv1.AttendRequest_ConnectionCount:
		ses.answered(v.ConnectionCount)
	case *fleetv1.AttendRequest_Goodbye:
		return errGoodbye
	default:
		return status.Error(codes.InvalidArgument, "unexpected message")
	}
	return nil
}

func (ses *session) hearHold(hold *fleetv1.Hold) error {
	for _, account := range hold.GetAdd() {
		if !nkeys.IsValidPublicAccountKey(account) {
			return status.Error(codes.InvalidArgument, "hold: not an account public key")
		}
	}
	ses.unhold(hold.GetRemove()...)
	if len(hold.GetAdd()) == 0 {
		return nil
	}
	if !ses.hold(true, hold.GetAdd()...) {
		return errTooMany
	}
	ses.queue.putFresh(hold.GetAdd())
	return nil
}

func (ses *session) welcome(operator string, revision int64) *fleetv1.AttendResponse {
	return &fleetv1.AttendResponse{Message: &fleetv1.AttendResponse_Welcome{Welcome: &fleetv1.Welcome{
		LeaseTtl:     durationpb.New(ses.service.leaseTTL),
		OfflineGrace: durationpb.New(ses.service.offlineGrace),
		Now:          timestamppb.New(time.Now()),
		Revision:     revision,
		OperatorJwt:  operator,
		Draining:     ses.draining,
		Authorities:  ses.service.authorities.Load().fingerprints(),

		WantsSightings: ses.service.seen != nil,
	}}}
}
