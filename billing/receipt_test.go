package billing_test

import (
	"testing"
	"time"

	"github.com/coveymq/covey/billing"
)

// The vector of docs/formats/usage-file.md; brokers are tested with the same.
func TestReceiptVector(t *testing.T) {
	r := billing.Receipt{Window: 3600}
	r.Add("AA", "standard", billing.Published, 1)
	r.Add("AA", "standard", billing.DeliveredBytes, 1<<40)
	r.Add("AA", "standard", billing.Delivered, 2)
	if want := (billing.Receipt{Window: 3600, Series: 3, Total: 3 + 1<<40, Hash: 0x52e1d3717129b65a}); r != want {
		t.Errorf("receipt %+v, want %+v", r, want)
	}
}

func TestWindowIsTheUTCHour(t *testing.T) {
	zone := time.FixedZone("half past", 5*3600+1800)
	at := time.Date(2028, 2, 29, 23, 59, 59, 999, time.UTC).In(zone)
	if got, want := billing.WindowOf(at), time.Date(2028, 2, 29, 23, 0, 0, 0, time.UTC).Unix(); got != want {
		t.Errorf("window %d, want %d", got, want)
	}
}
