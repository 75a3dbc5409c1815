package export

import (
	"context"
	"fmt"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/instrumentation"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.opentelemetry.io/otel/sdk/resource"

	"github.com/coveymq/covey/dataplane/internal/meter"
)

// The names on the wire; docs/formats/usage-otlp.md lists them.
const (
	scopeName    = "github.com/coveymq/covey/usage"
	scopeVersion = "1"
	serviceName  = "covey-broker"
	attrAccount  = "covey.account.id"
	attrWindow   = "covey.usage.window"
	attrClass    = "covey.usage.class"
)

// metric is how one word of the counts is sent.
type metric struct {
	name, unit string
	value      func(meter.Counts) uint64
}

// metrics returns the four, with their units in UCUM.
func metrics() [4]metric {
	return [4]metric{
		{"covey.usage.published", "{message}", meter.Counts.Published},
		{"covey.usage.delivered", "{message}", meter.Counts.Delivered},
		{"covey.usage.published.size", "By", meter.Counts.PublishedBytes},
		{"covey.usage.delivered.size", "By", meter.Counts.DeliveredBytes},
	}
}

// send exports series in requests of bounded size and notes what was taken.
func (e *Exporter) send(ctx context.Context, b *book, series []meter.Series) error {
	const rowsMax = pointsMax / 4 // four points a row
	for len(series) > 0 {
		n := min(rowsMax, len(series))
		// A partial success is an error too: what was rejected is sent again, and a
		// receipt decides.
		if err := e.wire.Export(ctx, request(b.source, series[:n], time.Now())); err != nil {
			return fmt.Errorf("export usage: %w", err)
		}
		for i := range series[:n] {
			b.wasSent(&series[i])
		}
		series = series[n:]
	}
	return nil
}

// request puts series into OTLP's form: one cumulative monotonic sum a meter.
func request(s source, series []meter.Series, now time.Time) *metricdata.ResourceMetrics {
	sets := make([]attribute.Set, len(series))
	for i := range series {
		sets[i] = attribute.NewSet(
			attribute.String(attrAccount, series[i].Account),
			attribute.Int64(attrWindow, series[i].Window),
			attribute.String(attrClass, series[i].Class))
	}
	var out []metricdata.Metrics
	for _, m := range metrics() {
		sum := metricdata.Sum[int64]{Temporality: metricdata.CumulativeTemporality, IsMonotonic: true}
		for i := range series {
			v := m.value(series[i].Counts)
			if v == 0 {
				continue // not a series yet
			}
			sum.DataPoints = append(sum.DataPoints, metricdata.DataPoint[int64]{
				Attributes: sets[i], StartTime: s.Started(), Time: now,
				Value: int64(v),
			})
		}
		if len(sum.DataPoints) > 0 {
			out = append(out, metricdata.Metrics{Name: m.name, Unit: m.unit, Data: sum})
		}
	}
	return &metricdata.ResourceMetrics{
		Resource: resource.NewSchemaless(
			attribute.String("service.name", serviceName),
			attribute.String("service.instance.id", s.IncarnationID())),
		ScopeMetrics: []metricdata.ScopeMetrics{{
			Scope:   instrumentation.Scope{Name: scopeName, Version: scopeVersion},
			Metrics: out,
		}},
	}
}
