package fleet

import (
	"testing"
	"time"
)

func TestSummarise(t *testing.T) {
	now := time.Unix(1e9, 0)
	leased := func(acked bool) BrokerProgress {
		return BrokerProgress{Broker: Broker{Leased: true, ServeUntil: now.Add(time.Hour)}, Acknowledged: acked}
	}
	silent := func(acked, exited bool, until time.Duration) BrokerProgress {
		return BrokerProgress{Broker: Broker{Exited: exited, ServeUntil: now.Add(until)}, Acknowledged: acked}
	}
	for _, tt := range []struct {
		name           string
		brokers        []BrokerProgress
		enforced, done bool
	}{
		{"no brokers", nil, true, true},
		{"acknowledged", []BrokerProgress{leased(true)}, true, true},
		{"one of two", []BrokerProgress{leased(true), leased(false)}, false, false},
		{"silent within its grace", []BrokerProgress{leased(true), silent(false, false, time.Second)}, true, false},
		{"silent past its grace", []BrokerProgress{leased(true), silent(false, false, 0)}, true, true},
		{"silent but acknowledged", []BrokerProgress{silent(true, false, time.Hour)}, true, true},
		{"exited", []BrokerProgress{silent(false, true, time.Hour)}, true, true},
		{"leased past its grace", []BrokerProgress{{Broker: Broker{Leased: true, ServeUntil: now}}}, false, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if enforced, done := Summarise(tt.brokers, now); enforced != tt.enforced || done != tt.done {
				t.Errorf("Summarise = %v, %v; want %v, %v", enforced, done, tt.enforced, tt.done)
			}
		})
	}
}
