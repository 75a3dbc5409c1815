package audit_test

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/coveymq/covey/controlplane/internal/audit"
)

func TestAnyChangeToAChainShows(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var head audit.Head
		var chain []audit.Entry
		for i := range rapid.IntRange(2, 8).Draw(t, "entries") {
			e, next, err := head.Append(audit.Entry{Time: time.Unix(int64(i), 5), Actor: rapid.String().Draw(t, "actor"), Method: "M", Target: "t"})
			if err != nil {
				t.Fatal(err)
			}
			head, chain = next, append(chain, e)
		}
		if end, err := (audit.Head{}).Verify(chain); err != nil || end != head {
			t.Fatalf("Verify = %+v, %v; want %+v", end, err, head)
		}
		at := rapid.IntRange(0, len(chain)-1).Draw(t, "at")
		bad := append([]audit.Entry(nil), chain...)
		switch rapid.IntRange(0, 3).Draw(t, "tampering") {
		case 0:
			bad[at].Actor += "x"
		case 1:
			bad[at].Time = bad[at].Time.Add(1)
		case 2:
			bad[at].Previous += "0"
		case 3:
			if at == len(bad)-1 {
				at--
			}
			bad = append(bad[:at], bad[at+1:]...)
		}
		if _, err := (audit.Head{}).Verify(bad); err == nil {
			t.Fatal("tampering does not show")
		}
	})
}
