package alerts

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/coveymq/covey/controlplane/internal/store"
	"github.com/coveymq/covey/controlplane/internal/tenancy"
)

// TestEvent is what a receiver gets that is only tried out.
const TestEvent = "alert.test"

// message is what a receiver gets. Of one alert and event it is the same at each
// try, to the byte.
type message struct {
	ID           string    `json:"id"`
	Type         string    `json:"type"`
	Time         time.Time `json:"time"`
	Organization string    `json:"organization"`
	Policy       string    `json:"policy"`
	Severity     string    `json:"severity"`
	Metric       string    `json:"metric"`
	Account      string    `json:"account,omitempty"`
	Alert        *told     `json:"alert,omitempty"` // none of a test
}

type told struct {
	Name           string    `json:"name"`
	Period         string    `json:"period,omitempty"`
	LimitPercent   int32     `json:"limit_percent,omitempty"`
	ThresholdValue int64     `json:"threshold_value"`
	Limit          *int64    `json:"limit,omitempty"`
	Value          int64     `json:"value"` // when it opened
	OpenTime       time.Time `json:"open_time"`
	CloseReason    string    `json:"close_reason,omitempty"`
}

// NotificationID is what a receiver knows a notification by.
func NotificationID(alert, kind string) string {
	if kind == store.AlertClosedEvent {
		return alert + ".closed"
	}
	return alert + ".opened"
}

func messageOf(organization string, a store.Alert, kind string) ([]byte, error) {
	m := message{
		ID: NotificationID(a.ID, kind), Type: kind, Time: a.OpenTime, Organization: tenancy.OrganizationName(organization),
		Policy: tenancy.AlertPolicyName(organization, a.Policy), Severity: a.Severity, Metric: a.Metric,
		Alert: &told{
			Name: tenancy.AlertName(organization, a.ID), Period: a.Period, LimitPercent: a.Threshold.Percent, ThresholdValue: a.At,
			Limit: a.Limit, Value: a.Value, OpenTime: a.OpenTime,
		},
	}
	if a.Account != "" {
		m.Account = tenancy.AccountName(organization, a.Account)
	}
	if kind == store.AlertClosedEvent {
		m.Time, m.Alert.CloseReason = a.CloseTime, a.CloseReason
	}
	return encode(m)
}

func testMessage(organization, id string, p store.AlertPolicy, now time.Time) ([]byte, error) {
	m := message{
		ID: id, Type: TestEvent, Time: now.UTC().Truncate(time.Second), Organization: tenancy.OrganizationName(organization),
		Policy: tenancy.AlertPolicyName(organization, p.ID), Severity: p.Severity, Metric: p.Metric,
	}
	if p.Account != "" {
		m.Account = tenancy.AccountName(organization, p.Account)
	}
	return encode(m)
}

func encode(m message) ([]byte, error) {
	text, err := json.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("encode notification: %w", err)
	}
	return text, nil
}
