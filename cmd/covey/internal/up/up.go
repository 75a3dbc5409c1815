package up

import (
	"context"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/coveymq/covey/cmd/covey/internal/contexts"
	"github.com/coveymq/covey/cmd/covey/internal/term"
	"github.com/coveymq/covey/internal/obs"
)

// Budgets of a start and of a stop. Together the drains stay under the 5 s that
// a stop may take.
const (
	readyTimeout     = 30 * time.Second
	joinTokenLife    = 5 * time.Minute
	brokerDrain      = 3 * time.Second
	controlPlaneStop = 4500 * time.Millisecond // counted from the beginning of the stop
)

// Deps is what the command needs from its surroundings.
type Deps struct {
	Streams *term.Streams
	Store   func() (*contexts.Store, error)
	Getenv  func(string) string
	Parts   Parts
}

// Command is `covey up`.
func Command(d Deps) *cobra.Command {
	dir, _ := DefaultDataDir(d.Getenv) // without one, --data is asked for
	o := &Options{DataDir: dir}
	cmd := &cobra.Command{
		Use: "up", Short: "Run a whole Covey on this machine", Args: term.Exactly(),
		Long: `Run a whole Covey on this machine: a control plane with its store, and a
broker, listening on loopback only; --brokers N makes it a cluster of N brokers,
of which each client learns. A second start with the same --data finds
everything again. Interrupt it once to drain, twice to end it at once.`,
		Example: "  covey up\n  covey up --brokers 3\n  covey up --data /tmp/covey --nats-port 0 --json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			store, err := d.Store()
			if err != nil {
				return err
			}
			u := &assembly{opts: o, streams: d.Streams, contexts: store, parts: d.Parts, free: freeSpace}
			return u.run(cmd.Context())
		},
	}
	o.flags(cmd.Flags())
	return cmd
}

// assembly is one run of all parts.
type assembly struct {
	// Immutable.
	opts     *Options
	streams  *term.Streams
	contexts *contexts.Store
	parts    Parts
	free     func(string) (uint64, error)

	stopBegan time.Time // owned by run's goroutine; zero until the drain begins
}

// run returns when everything has stopped: nil after a clean drain.
func (u *assembly) run(ctx context.Context) error {
	if err := u.opts.validate(); err != nil {
		return err
	}
	log, err := obs.NewLogger(u.streams.Err, u.opts.Log)
	if err != nil {
		return err
	}
	dir, err := openDataDir(u.opts.DataDir, u.free)
	if err != nil {
		return err
	}
	defer dir.close()
	if err := checkPorts(ctx, u.opts); err != nil {
		return err
	}
	cp, err := u.parts.ControlPlane(ctx, ControlPlaneConfig{
		DataDir: dir.controlPlane(), Logger: log,
		APIAddr: addr(u.opts.APIPort), HTTPAddr: addr(u.opts.HTTPPort),
		FleetAddr: addr(u.opts.FleetPort), OTLPAddr: addr(u.opts.OTLPPort),
	})
	if err != nil {
		return startFault("start the control plane", err)
	}
	control := launch(ctx, "control plane", cp.Run)
	// The key is shown to this process once: it is kept before anything else.
	admin, err := keepAdmin(u.contexts, dir, cp)
	if err == nil {
		u.warnWithout(admin, dir)
		err = u.withBrokers(ctx, dir, cp, control, admin, BrokerConfig{Logger: log})
	}
	if u.stopBegan.IsZero() {
		u.stopBegan = time.Now()
	}
	return firstOf(err, control.stop(u.stopBegan.Add(controlPlaneStop)))
}

// warnWithout tells that nobody here can sign up tenants any more; those that
// exist are served all the same.
func (u *assembly) warnWithout(admin string, dir *dataDir) {
	if admin == "" {
		u.streams.Sayf("warning: the operator's context of %s is gone, and its key is kept nowhere else; "+
			"put it back with `covey context add %s --operator` if you have the key", dir.path, adminName)
	}
}

// withBrokers runs the brokers and returns when they have drained: because ctx
// ended, or because one of the parts stopped by itself.
func (u *assembly) withBrokers(ctx context.Context, dir *dataDir, cp ControlPlane, control *part, admin string, conf BrokerConfig) error {
	conf.ControlPlaneAddr, conf.OTLPAddr = cp.FleetAddr(), cp.OTLPAddr()
	conf.OperatorPublicKey = cp.OperatorPublicKey()
	all, err := u.startBrokers(ctx, dir, cp, conf)
	if err == nil {
		err = u.serve(ctx, dir, cp, all, admin, control)
	}
	u.stopBegan = time.Now()
	return firstOf(err, all.stop(u.stopBegan.Add(brokerDrain)))
}

// serve announces that everything is ready, and waits for the end.
func (u *assembly) serve(ctx context.Context, dir *dataDir, cp ControlPlane, all brokers, admin string, control *part) error {
	at := endpoints(cp, all[0])
	parts := append([]*part{control}, all.parts()...)
	if err := awaitReady(ctx, at, all.meshed, parts...); err != nil {
		return err
	}
	if err := u.contexts.Refresh(dir.installation, at); err != nil {
		u.streams.Sayf("warning: contexts keep the addresses of an earlier start: %v", err)
	}
	if err := u.announce(at, all, dir.path, admin); err != nil {
		return err
	}
	if anyDone(ctx, parts) {
		return stoppedEarly(parts...)
	}
	u.streams.Sayf("Draining; interrupt again to end at once.")
	return nil
}

// anyDone waits until one of the parts has ended, or until ctx ends, for which
// it reports false.
func anyDone(ctx context.Context, parts []*part) bool {
	first, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	for _, p := range parts {
		wg.Go(func() {
			select {
			case <-p.done:
				cancel()
			case <-first.Done():
			}
		})
	}
	wg.Wait()
	cancel()
	return ctx.Err() == nil
}

// stoppedEarly says which part ended although nobody asked. Its own error, if
// it has one, comes from its stop.
func stoppedEarly(parts ...*part) error {
	for _, p := range parts {
		select {
		case <-p.done:
			if p.err == nil {
				return term.Failf("see the log above, and start again", "the %s stopped by itself", p.name)
			}
			return startFault("run the "+p.name, p.err)
		default:
		}
	}
	return nil
}

// firstOf is the error that came first; one that follows from it adds nothing.
func firstOf(first, second error) error {
	if first != nil {
		return first
	}
	return second
}
