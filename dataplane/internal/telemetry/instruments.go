// Package telemetry tells OpenTelemetry how the broker is: operational metrics
// with a fixed, small set of series. No account, user or subject is ever an
// attribute: tenants are without bound, and what each used is for the usage
// records and for monitoring to say.
//
// All instruments are read when somebody collects; between collections they cost
// nothing.
package telemetry

import (
	"context"
	"fmt"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/coveymq/covey/dataplane/internal/account"
	"github.com/coveymq/covey/dataplane/internal/conn"
)

// scope names the instruments' maker.
const scope = "github.com/coveymq/covey/dataplane"

// Attributes.
const (
	directionKey = attribute.Key("network.io.direction")
	reasonKey    = attribute.Key("covey.broker.reason")
)

// observers are the instruments of a broker.
type observers struct {
	messages, size                   metric.Int64ObservableCounter
	opened, closed                   metric.Int64ObservableCounter
	slow, stale, stalls, refused     metric.Int64ObservableCounter
	shed                             shedding
	connections, subscriptions, held metric.Int64ObservableUpDownCounter
	limit                            metric.Int64ObservableUpDownCounter
	uptime                           metric.Float64ObservableGauge
	cpu                              metric.Float64ObservableCounter
	memory                           metric.Int64ObservableUpDownCounter

	all []metric.Observable
}

// Source is what the metrics are of.
type Source struct {
	Host     *conn.Host
	Accounts *account.Registry
	Process  Process
}

// Process tells of the process itself.
type Process struct {
	Uptime        func() float64 // seconds
	ProcessorTime func() float64 // seconds
	Memory        func() int64   // resident bytes
}

// Register makes the instruments with a provider. They are read until the
// registration ends.
func Register(p metric.MeterProvider, s *Source) (metric.Registration, error) {
	m := p.Meter(scope)
	o, err := newObservers(m)
	if err != nil {
		return nil, fmt.Errorf("metrics: %w", err)
	}
	registration, err := m.RegisterCallback(func(_ context.Context, to metric.Observer) error {
		o.observe(to, s)
		return nil
	}, o.all...)
	if err != nil {
		return nil, fmt.Errorf("metrics: %w", err)
	}
	return registration, nil
}

// maker makes instruments until one cannot be made.
type maker struct {
	meter metric.Meter
	err   error
	all   []metric.Observable
}

func (m *maker) counter(name, unit, about string) metric.Int64ObservableCounter {
	i, err := m.meter.Int64ObservableCounter(name, metric.WithUnit(unit), metric.WithDescription(about))
	m.made(i, err)
	return i
}

func (m *maker) level(name, unit, about string) metric.Int64ObservableUpDownCounter {
	i, err := m.meter.Int64ObservableUpDownCounter(name, metric.WithUnit(unit), metric.WithDescription(about))
	m.made(i, err)
	return i
}

func (m *maker) made(i metric.Observable, err error) {
	m.all = append(m.all, i)
	if m.err == nil {
		m.err = err
	}
}

func newObservers(meter metric.Meter) (*observers, error) {
	m := &maker{meter: meter}
	o := &observers{
		messages:      m.counter("covey.broker.client.messages", "{message}", "Messages from and to clients."),
		size:          m.counter("covey.broker.client.size", "By", "Headers and payloads of messages from and to clients."),
		opened:        m.counter("covey.broker.connection.opened", "{connection}", "Connections accepted since the start."),
		closed:        m.counter("covey.broker.connection.closed", "{connection}", "Connections that have ended, by reason."),
		connections:   m.level("covey.broker.connections", "{connection}", "Client connections there are."),
		limit:         m.level("covey.broker.connections_limit", "{connection}", "Client connections there may be; absent without a limit."),
		subscriptions: m.level("covey.broker.subscriptions", "{subscription}", "Subscriptions there are."),
		held:          m.level("covey.broker.accounts", "{account}", "Accounts that are loaded."),
		slow:          m.counter("covey.broker.slow_consumers", "{connection}", "Connections given up because they took too little too late."),
		stale:         m.counter("covey.broker.stale_connections", "{connection}", "Connections given up because they did not answer."),
		stalls:        m.counter("covey.broker.stalls", "{wait}", "Times that a publisher waited for a slow destination."),
		refused:       m.counter("covey.broker.auth.failures", "{attempt}", "Attempts to authenticate that failed."),
		memory:        m.level("process.memory.usage", "By", "Resident memory."),
	}
	o.shed.make(m)
	var err error
	o.uptime, err = meter.Float64ObservableGauge("process.uptime", metric.WithUnit("s"), metric.WithDescription("Time since the start."))
	m.made(o.uptime, err)
	o.cpu, err = meter.Float64ObservableCounter("process.cpu.time", metric.WithUnit("s"), metric.WithDescription("Processor time used."))
	m.made(o.cpu, err)
	o.all = m.all
	return o, m.err
}

func (o *observers) observe(to metric.Observer, s *Source) {
	reasons := s.Host.ClosedReasons() // first: whoever is in it is no connection any more
	sum := s.Host.Sum()
	in := metric.WithAttributeSet(attribute.NewSet(directionKey.String("receive")))
	out := metric.WithAttributeSet(attribute.NewSet(directionKey.String("transmit")))
	to.ObserveInt64(o.messages, count(sum.Traffic.InMessages), in)
	to.ObserveInt64(o.messages, count(sum.Traffic.OutMessages), out)
	to.ObserveInt64(o.size, count(sum.Traffic.InBytes), in)
	to.ObserveInt64(o.size, count(sum.Traffic.OutBytes), out)
	to.ObserveInt64(o.stalls, count(sum.Stalls))
	to.ObserveInt64(o.connections, int64(sum.Connections))
	if limit := s.Host.Options().MaxConnections; limit > 0 {
		to.ObserveInt64(o.limit, int64(limit))
	}
	totals := &s.Host.Totals
	to.ObserveInt64(o.opened, count(totals.Connections.Load()))
	to.ObserveInt64(o.slow, count(totals.SlowConsumers.Load()))
	to.ObserveInt64(o.stale, count(totals.Stale.Load()))
	to.ObserveInt64(o.refused, count(totals.AuthErrors.Load()))
	o.shed.observe(to, &totals.Shed)
	for reason, n := range reasons {
		to.ObserveInt64(o.closed, count(n), metric.WithAttributes(reasonKey.String(reason)))
	}
	var accounts, subscriptions int64
	s.Accounts.Each(func(a *account.Account) {
		accounts++
		subscriptions += a.Index.Count()
	})
	to.ObserveInt64(o.held, accounts)
	to.ObserveInt64(o.subscriptions, subscriptions)
	to.ObserveInt64(o.memory, s.Process.Memory())
	to.ObserveFloat64(o.uptime, s.Process.Uptime())
	to.ObserveFloat64(o.cpu, s.Process.ProcessorTime())
}

// count is a counter as OpenTelemetry has them.
func count(n uint64) int64 { return int64(n) } //nolint:gosec // three centuries at 10^9 a second
