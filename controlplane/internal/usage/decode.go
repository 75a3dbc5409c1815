package usage

import (
	"fmt"
	"strings"
	"time"

	colmetricpb "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	metricspb "go.opentelemetry.io/proto/otlp/metrics/v1"

	"github.com/coveymq/covey/billing"
	"github.com/coveymq/covey/internal/errs"
)

// The names on the wire.
const (
	metricPrefix  = "covey.usage."
	attrInstance  = "service.instance.id"
	attrAccount   = "covey.account.id"
	attrWindow    = "covey.usage.window"
	attrClass     = "covey.usage.class"
	attrOverflow  = "otel.metric.overflow"
	nameLengthMax = 64 // of an incarnation, account or class
	// valueMax is more than any account can use in an hour (72 PB), and so small
	// that sums of values stay far from overflow.
	valueMax = 1 << 56
)

// meterOf is the meter that a metric carries.
func meterOf(metric string) (billing.Meter, bool) {
	switch metric {
	case metricPrefix + "published":
		return billing.Published, true
	case metricPrefix + "published.size":
		return billing.PublishedBytes, true
	case metricPrefix + "delivered":
		return billing.Delivered, true
	case metricPrefix + "delivered.size":
		return billing.DeliveredBytes, true
	}
	return "", false
}

func refuse(format string, args ...any) *errs.Error {
	return errs.New(errs.Invalid, "USAGE_INVALID", format, args...)
}

// decoded is what a request holds.
type decoded struct {
	samples []billing.Sample
	ignored map[string]int // data points of metrics that are no usage, by name
}

// decode turns a request into samples, or says why it cannot have been sent by
// a broker: then all of it is refused, and the broker still has the counts.
func decode(req *colmetricpb.ExportMetricsServiceRequest) (*decoded, error) {
	d := &decoded{ignored: make(map[string]int)}
	for _, rm := range req.GetResourceMetrics() {
		incarnation := stringAttr(rm.GetResource().GetAttributes(), attrInstance)
		for _, sm := range rm.GetScopeMetrics() {
			for _, m := range sm.GetMetrics() {
				if err := d.metric(incarnation, m); err != nil {
					return nil, err
				}
			}
		}
	}
	return d, nil
}

func (d *decoded) metric(incarnation string, m *metricspb.Metric) error {
	name := m.GetName()
	meter, ok := meterOf(name)
	if !ok {
		d.ignored[name] += points(m)
		return nil
	}
	sum := m.GetSum()
	switch {
	case sum == nil:
		return refuse("metric %s is not a sum", name)
	case sum.GetAggregationTemporality() != metricspb.AggregationTemporality_AGGREGATION_TEMPORALITY_CUMULATIVE:
		return refuse("metric %s is not cumulative; take every cumulativetodelta processor out of the way", name)
	case !sum.GetIsMonotonic():
		return refuse("metric %s is not monotonic", name)
	case !usable(incarnation):
		return refuse("metric %s comes from a resource without a usable %s", name, attrInstance)
	}
	for _, p := range sum.GetDataPoints() {
		s, err := point(p)
		if err != nil {
			return fmt.Errorf("metric %s: %w", name, err)
		}
		s.Incarnation, s.Meter = incarnation, meter
		d.samples = append(d.samples, s)
	}
	return nil
}

func point(p *metricspb.NumberDataPoint) (billing.Sample, error) {
	var s billing.Sample
	value, ok := p.GetValue().(*metricspb.NumberDataPoint_AsInt)
	if !ok || value.AsInt < 0 || value.AsInt > valueMax {
		return s, refuse("value is not a whole number from zero to %d", int64(valueMax))
	}
	s.Value = value.AsInt
	for _, a := range p.GetAttributes() {
		switch a.GetKey() {
		case attrAccount:
			s.Account = a.GetValue().GetStringValue()
		case attrClass:
			s.Class = a.GetValue().GetStringValue()
		case attrWindow:
			s.Window = a.GetValue().GetIntValue()
		case attrOverflow:
			return s, refuse("series were merged on the way (%s)", attrOverflow)
		}
	}
	const hour = int64(billing.Window / time.Second)
	switch {
	case !usable(s.Account):
		return s, refuse("attribute %s is missing or not usable", attrAccount)
	case !usable(s.Class):
		return s, refuse("attribute %s is missing or not usable", attrClass)
	case s.Window <= 0 || s.Window%hour != 0:
		return s, refuse("attribute %s is not the beginning of a UTC hour", attrWindow)
	}
	return s, nil
}

// usable reports whether a name is one that any ledger can keep: short printable
// ASCII.
func usable(name string) bool {
	for i := range len(name) {
		if name[i] <= ' ' || name[i] > '~' {
			return false
		}
	}
	return name != "" && len(name) <= nameLengthMax
}

func stringAttr(attrs []*commonpb.KeyValue, key string) string {
	for _, a := range attrs {
		if a.GetKey() == key {
			return a.GetValue().GetStringValue()
		}
	}
	return ""
}

// points counts a metric's data points, whatever its kind.
func points(m *metricspb.Metric) int {
	return len(m.GetGauge().GetDataPoints()) + len(m.GetSum().GetDataPoints()) +
		len(m.GetHistogram().GetDataPoints()) + len(m.GetExponentialHistogram().GetDataPoints()) +
		len(m.GetSummary().GetDataPoints())
}

// partial tells the sender which metrics were left out: this endpoint takes
// usage only.
func (d *decoded) partial() *colmetricpb.ExportMetricsPartialSuccess {
	if len(d.ignored) == 0 {
		return nil
	}
	const namesMax = 10
	var names []string
	rejected := 0
	for name, n := range d.ignored {
		rejected += n
		if len(names) < namesMax {
			names = append(names, name)
		}
	}
	return &colmetricpb.ExportMetricsPartialSuccess{
		RejectedDataPoints: int64(rejected),
		ErrorMessage:       "only usage is taken here, not " + strings.Join(names, ", "),
	}
}
