package accounts

import (
	"slices"
	"strings"
	"time"

	"github.com/coveymq/covey/internal/errs"
)

// AlertMetric is something whose use is known well enough to warn of it.
type AlertMetric struct {
	Name         string
	Organization bool // it is of the whole organization, not of each account
	Monthly      bool // it adds up over a calendar month, UTC; else it is of the moment
	Limited      bool // there is a limit of that name
}

// The metrics.
const (
	MetricData                 = "data_bytes"
	MetricPublished            = "published_messages"
	MetricPublishedBytes       = "published_bytes"
	MetricDelivered            = "delivered_messages"
	MetricDeliveredBytes       = "delivered_bytes"
	MetricConnections          = "connections"
	MetricAccounts             = CountAccounts
	MetricUsers                = CountUsers
	alertPercentMax      int32 = 1000
	alertPercentsMax           = 10
	alertHoldMax               = 24 * time.Hour
)

// AlertMetrics returns all metrics in the order in which they are shown.
func AlertMetrics() []AlertMetric {
	return []AlertMetric{
		{Name: MetricData, Monthly: true, Limited: true},
		{Name: MetricPublished, Monthly: true},
		{Name: MetricPublishedBytes, Monthly: true},
		{Name: MetricDelivered, Monthly: true},
		{Name: MetricDeliveredBytes, Monthly: true},
		{Name: MetricConnections, Limited: true},
		{Name: MetricAccounts, Organization: true, Limited: true},
		{Name: MetricUsers, Organization: true, Limited: true},
	}
}

// AlertMetricOf returns the metric of a name, or an error that lists those that
// there are.
func AlertMetricOf(name string) (AlertMetric, error) {
	all := AlertMetrics()
	if i := slices.IndexFunc(all, func(m AlertMetric) bool { return m.Name == name }); i >= 0 {
		return all[i], nil
	}
	var names []string
	for _, m := range all {
		names = append(names, m.Name)
	}
	e := errs.New(errs.Invalid, "UNKNOWN_METRIC", "nobody measures %q", name).WithField("alert_policy.metric")
	return AlertMetric{}, e.WithNext("use one of %s", strings.Join(names, ", "))
}

// AlertRule is when there is an alert: at percents of the limit in force, or at
// one value.
type AlertRule struct {
	Percents []int32       `json:"percents,omitempty"` // ascending
	Fixed    int64         `json:"fixed,omitempty"`
	Hold     time.Duration `json:"hold,omitempty"` // for how long it must be reached
}

func badRule(field, format string, args ...any) *errs.Error {
	return errs.New(errs.Invalid, "INVALID_ALERT_RULE", format, args...).WithField("alert_policy." + field)
}

// Check completes and checks a rule for a metric.
func (r AlertRule) Check(m AlertMetric) (AlertRule, error) {
	r.Percents = slices.Sorted(slices.Values(r.Percents))
	switch {
	case len(r.Percents) == 0 && r.Fixed == 0:
		return r, badRule("limit_percents", "nothing says when there is an alert").WithNext("give limit_percents or fixed_value")
	case len(r.Percents) > 0 && r.Fixed != 0:
		return r, badRule("fixed_value", "there are both percents and a fixed value").WithNext("use two policies")
	case len(r.Percents) > 0 && !m.Limited:
		return r, badRule("limit_percents", "there is no limit of %s that a percentage could be of", m.Name).WithNext("give fixed_value")
	case r.Fixed < 0 || r.Fixed > limitMax:
		return r, badRule("fixed_value", "the value is %d, it must be from 1 to %d", r.Fixed, int64(limitMax))
	case r.Hold < 0 || r.Hold > alertHoldMax || r.Hold%time.Second != 0:
		return r, badRule("hold_seconds", "it cannot be held for %v, at most %v in whole seconds", r.Hold, alertHoldMax)
	case r.Hold > 0 && m.Monthly:
		return r, badRule("hold_seconds", "%s of a month never go down, so that there is nothing to wait for", m.Name).WithNext("leave it out")
	}
	return r, checkPercents(r.Percents)
}

// checkPercents checks percents that are in order.
func checkPercents(sorted []int32) error {
	switch n := len(sorted); {
	case n == 0:
		return nil
	case n > alertPercentsMax:
		return badRule("limit_percents", "there are more than %d percents", alertPercentsMax)
	case len(slices.Compact(slices.Clone(sorted))) != n:
		return badRule("limit_percents", "a percentage is there twice")
	case sorted[0] < 1 || sorted[n-1] > alertPercentMax:
		return badRule("limit_percents", "percents are from 1 to %d", alertPercentMax)
	}
	return nil
}

// AlertThreshold is one threshold of a rule: a percentage, or else a value.
type AlertThreshold struct {
	Percent int32 `json:"percent,omitempty"`
	Fixed   int64 `json:"fixed,omitempty"`
}

// Thresholds returns the thresholds of a rule.
func (r AlertRule) Thresholds() []AlertThreshold {
	if r.Fixed != 0 {
		return []AlertThreshold{{Fixed: r.Fixed}}
	}
	all := make([]AlertThreshold, len(r.Percents))
	for i, p := range r.Percents {
		all[i] = AlertThreshold{Percent: p}
	}
	return all
}

// At returns the value from which on the threshold is reached, with the limit in
// force; nil is none. ok is false if it cannot be reached. Using nothing never
// reaches a threshold, even if nothing is allowed.
func (t AlertThreshold) At(limit *int64) (value int64, ok bool) {
	if t.Percent == 0 {
		return t.Fixed, true
	}
	if limit == nil {
		return 0, false
	}
	whole, part := *limit/100, *limit%100 // limits are up to 2^53
	percent := int64(t.Percent)
	return max(1, whole*percent+(part*percent+99)/100), true
}

// AlertPeriod names the calendar month, UTC, that a time is in.
func AlertPeriod(t time.Time) string { return t.UTC().Format("2006-01") }

// MonthOf returns when the calendar month, UTC, began that a time is in.
func MonthOf(t time.Time) time.Time {
	t = t.UTC()
	return time.Date(t.Year(), t.Month(), 1, 0, 0, 0, 0, time.UTC)
}
