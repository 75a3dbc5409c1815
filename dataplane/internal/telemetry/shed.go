package telemetry

import (
	"go.opentelemetry.io/otel/metric"

	"github.com/coveymq/covey/dataplane/internal/account"
)

// shedding is the instruments of what limits keep out.
type shedding struct {
	refused, refusedSize, dropped, droppedSize, subscriptions, connections metric.Int64ObservableCounter
}

func (s *shedding) make(m *maker) {
	s.refused = m.counter("covey.broker.limits.refused.messages", "{message}", "Messages that clients published and a limit refused.")
	s.refusedSize = m.counter("covey.broker.limits.refused.size", "By", "Headers and payloads of messages that a limit refused.")
	s.dropped = m.counter("covey.broker.limits.dropped.messages", "{message}", "Messages that clients were to get and did not, over a rate or without room.")
	s.droppedSize = m.counter("covey.broker.limits.dropped.size", "By", "Headers and payloads of messages that clients did not get.")
	s.subscriptions = m.counter("covey.broker.limits.refused.subscriptions", "{subscription}", "Subscriptions that a limit refused.")
	s.connections = m.counter("covey.broker.limits.refused.connections", "{connection}", "Connections that a limit of their account refused.")
}

func (s *shedding) observe(to metric.Observer, shed *account.Shed) {
	to.ObserveInt64(s.refused, count(shed.Refused.Messages.Load()))
	to.ObserveInt64(s.refusedSize, count(shed.Refused.Bytes.Load()))
	to.ObserveInt64(s.dropped, count(shed.Dropped.Messages.Load()))
	to.ObserveInt64(s.droppedSize, count(shed.Dropped.Bytes.Load()))
	to.ObserveInt64(s.subscriptions, count(shed.Subscriptions.Load()))
	to.ObserveInt64(s.connections, count(shed.Connections.Load()))
}
