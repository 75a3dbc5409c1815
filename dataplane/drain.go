package dataplane

import (
	"context"
	"errors"
	"time"

	"github.com/coveymq/covey/internal/lifecycle"
)

// announce logs who and where the broker is, in lines that programs wait for.
func (b *Broker) announce() {
	log := b.cfg.Logger
	log.Info("  Version:  " + b.cfg.Version + " (as nats-server " + Level + ")")
	log.Info("  Name:     " + b.cfg.ServerName)
	log.Info("  ID:       " + b.id)
	if b.mesh != nil {
		log.Info("Cluster name is " + b.mesh.Name())
		log.Info("Listening for route connections on " + b.mesh.Addr())
	}
	if b.monitor.Addr() != "" {
		log.Info("Starting " + b.monitor.Scheme() + " monitor on " + b.monitor.Addr())
	}
	log.Info("Listening for client connections on " + b.clients.Addr().String())
	log.Info("Server is ready")
}

// Hurry ends a goodbye that is under way: the clients that are left go at once.
func (b *Broker) Hurry() { b.hurried.Do(func() { close(b.hurry) }) }

// drain says goodbye to the clients and reports what they used. Why is what made
// the broker leave.
func (b *Broker) drain(why error, serving *lifecycle.Group) {
	d, log := b.cfg.Drain, b.cfg.Logger
	var l *leave
	if errors.As(why, &l) {
		d = l.drain
	}
	ctx, cancel := context.WithCancel(serving.Context())
	defer cancel()
	stop := b.onHurry(ctx, cancel)
	defer stop()

	if d.Grace > 0 {
		log.Info("Entering lame duck mode, stop accepting new clients")
		b.system.LameDuck()
	}
	if b.mesh != nil {
		b.mesh.LameDuck()
	}
	if b.host.Len() > 0 && ctx.Err() == nil {
		b.host.LameDuck()
		b.awaitClients(ctx, d.Grace)
		if b.host.Len() > 0 && d.Grace > 0 {
			log.Info("Closing existing clients")
		}
	}
	log.Info("Initiating Shutdown...")
	b.system.Shutdown()
	b.host.Close(ctx, d.Spread)
	if b.fleet != nil {
		b.fleet.finish(d.Flush)
	}
}

// onHurry calls cancel when Hurry is called before stop. Stop waits until that
// is settled.
func (b *Broker) onHurry(ctx context.Context, cancel func()) (stop func()) {
	ctx, end := context.WithCancel(ctx)
	g := lifecycle.NewGroup(ctx)
	g.Side(func(ctx context.Context) error {
		select {
		case <-b.hurry:
			cancel()
		case <-ctx.Done():
		}
		return nil
	})
	return func() {
		end()
		_ = g.Wait() // it has no errors
	}
}

// awaitClients waits for the grace period, or until all clients have left.
func (b *Broker) awaitClients(ctx context.Context, grace time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, grace)
	defer cancel()
	poll := time.NewTicker(20 * time.Millisecond)
	defer poll.Stop()
	for b.host.Len() > 0 {
		select {
		case <-ctx.Done():
			return
		case <-poll.C:
		}
	}
}
