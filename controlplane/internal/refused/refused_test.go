package refused

import (
	"fmt"
	"log/slog"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/coveymq/covey/controlplane/internal/audit"
	fleetv1 "github.com/coveymq/covey/proto/covey/fleet/v1"
)

func TestAFloodIsBoundedAndCounted(t *testing.T) {
	c := New(nil, slog.New(slog.DiscardHandler))
	const tries = 50_000
	for n := range tries {
		c.Take(&fleetv1.Refusals{Refusals: []*fleetv1.Refusal{{
			AccountPublicKey: fmt.Sprint("A", n%20_000), UserPublicKey: fmt.Sprint("U", n), Kind: "connect", Reason: "no", Count: 1,
			FirstTime: timestamppb.New(time.Unix(int64(n), 0)), LastTime: timestamppb.New(time.Unix(int64(n), 0)),
		}}})
	}
	c.Take(&fleetv1.Refusals{Refusals: []*fleetv1.Refusal{{Kind: "made up", Count: 1}, {Kind: "connect", Count: -5}}})
	keys := c.accounts()
	if len(keys) > accountsMax+1 {
		t.Errorf("%d accounts wait", len(keys))
	}
	var all []audit.Refusal
	for _, page := range c.take(keys) {
		for _, r := range page {
			all = append(all, *r)
		}
	}
	if most := (accountsMax + 1) * (perAccount + 3); len(all) > most {
		t.Errorf("%d lines wait", len(all))
	}
	lines := shorten(all)
	var total int64
	for _, r := range lines {
		total += r.Count
	}
	if len(lines) != LinesMax || total != tries {
		t.Errorf("an entry of %d lines about %d refusals, want %d about %d", len(lines), total, LinesMax, tries)
	}
	if last := lines[LinesMax-1]; last.Reason != others || !last.First.Before(last.Last) {
		t.Errorf("the others: %+v", last)
	}
}
