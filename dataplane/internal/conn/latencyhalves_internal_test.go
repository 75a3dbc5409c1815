package conn

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coveymq/covey/dataplane/internal/account"
)

// What a client owes to other brokers is bounded, and what lapsed makes room.
func TestWhatAClientOwesIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &Client{}
		c.rtt.Store(1) // is known
		a := account.New("p", account.NoUsage{}, &account.State{})
		owes := func(n int, within time.Duration) {
			for i := range n {
				c.owes(a, fmt.Appendf(nil, "_R_.%v.%d.node.T", within, i), within)
			}
		}
		owes(owedMax+100, time.Second)
		o := c.owing.Load()
		if len(o.open) != owedMax {
			t.Errorf("%d are known, want %d", len(o.open), owedMax)
		}
		<-time.After(2 * time.Second)
		owes(10, time.Minute)
		if len(o.open) != 10 {
			t.Errorf("%d are known after the others lapsed, want 10", len(o.open))
		}
		s := []byte("_R_.1m0s.3.node.T")
		if _, ok := o.take(s); !ok {
			t.Error("one is not known")
		}
		if _, ok := o.take(s); ok {
			t.Error("it is known after it was answered")
		}
	})
}
