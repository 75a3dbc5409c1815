package dataplane

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/coveymq/covey/dataplane/internal/monitor"
	"github.com/coveymq/covey/dataplane/internal/telemetry"
)

// openMetrics makes the broker's instruments. They are exported by the provider
// that the configuration brings, or by one of our own if anybody would see it.
func (b *Broker) openMetrics(ctx context.Context) (err error) {
	meters := b.cfg.Meters
	if meters == nil {
		if b.cfg.MonitorAddr == "" && b.cfg.Metrics.Push == "" {
			return nil
		}
		p, err := telemetry.Open(ctx, telemetry.Options{
			Push: b.cfg.Metrics.Push, Interval: b.cfg.Metrics.Interval,
			Instance: b.id, Name: b.cfg.ServerName, Version: b.cfg.Version, Log: b.cfg.Logger,
		})
		if err != nil {
			return err
		}
		b.metrics = p
		meters = p.Meters()
	}
	b.readings, err = telemetry.Register(meters, &telemetry.Source{
		Host: b.host, Accounts: b.accounts,
		Process: telemetry.Process{
			Uptime:        func() float64 { return time.Since(b.started).Seconds() },
			ProcessorTime: func() float64 { return monitor.ProcessorTime().Seconds() },
			Memory:        monitor.ResidentBytes,
		},
	})
	return err
}

// scrape is what answers at /metrics; nil for nothing.
func (b *Broker) scrape() http.Handler {
	if b.metrics == nil {
		return nil
	}
	return b.metrics
}

// lastPush bounds the last push of metrics.
const lastPush = 2 * time.Second

func (b *Broker) closeMetrics() error {
	if b.metrics == nil {
		if b.readings != nil {
			return b.readings.Unregister()
		}
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), lastPush)
	defer cancel()
	if err := b.metrics.Close(ctx); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return nil
}
