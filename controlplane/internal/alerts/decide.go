package alerts

import (
	"time"

	"github.com/coveymq/covey/accounts"
	"github.com/coveymq/covey/controlplane/internal/store"
)

// Why alerts close.
const (
	closedBelow    = "below"
	closedPeriod   = "period-ended"
	closedNoLimit  = "no-limit"
	closedChanged  = "policy-changed"
	closedDisabled = "policy-disabled"
	closedDeleted  = "policy-deleted"
	closedAccount  = "account-gone"
)

// reading is how much of something is used.
type reading struct {
	value int64
	known bool // false: it could not be read
	least bool // there may be more
}

// step is what follows from a reading.
type step int

const (
	nothing step = iota
	hold         // it is reached; there is no alert yet
	release      // it is not any more, and there was none
	open         // there is an alert
	shut         // the alert closes; another one may open
	settle       // the alert closes, and is the only one of its period
	forget       // the period is over, and there is nothing to close
)

// threshold is one threshold of one policy for one subject.
type threshold struct {
	rule    accounts.AlertRule
	monthly bool
	at      int64
	limited bool // it can be reached: there is what a percentage is of
}

// decide says what follows from a reading at a time, with what is remembered of the
// threshold. A month has one alert of a threshold; what is of the moment has one
// until it is below again. What is only known in part opens alerts, and closes
// none.
func (t threshold) decide(r reading, m *store.AlertMark, now time.Time) (step, string) {
	reached := t.limited && r.known && r.value >= t.at
	if m == nil {
		return t.begin(reached), ""
	}
	switch {
	case t.monthly && m.Period != accounts.AlertPeriod(now):
		if m.Closed {
			return forget, ""
		}
		return shut, closedPeriod
	case m.Closed:
		return nothing, ""
	case reached && m.Alert == "" && now.Sub(m.Since) >= t.rule.Hold:
		return open, ""
	case reached || t.limited && (!r.known || r.least):
		return nothing, ""
	}
	return t.end(m)
}

// begin says what follows if nothing is remembered of a threshold.
func (t threshold) begin(reached bool) step {
	switch {
	case !reached:
		return nothing
	case t.rule.Hold > 0:
		return hold
	}
	return open
}

// end says what follows from a threshold's not being reached any more.
func (t threshold) end(m *store.AlertMark) (step, string) {
	reason := closedBelow
	if !t.limited {
		reason = closedNoLimit
	}
	switch {
	case m.Alert == "":
		return release, ""
	case t.monthly:
		return settle, reason
	}
	return shut, reason
}
