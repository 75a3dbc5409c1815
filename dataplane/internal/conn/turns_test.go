package conn_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/coveymq/covey/dataplane/internal/operatortest"
)

// TestTurns lets publishers of two accounts do more than a turn's work each, with
// one turn at a time: all is delivered, in order, and every turn is given back,
// by those that are ended in the middle of theirs too.
func TestTurns(t *testing.T) {
	op := operatortest.New(t)
	tenants := []*operatortest.Account{op.Account("a"), op.Account("b")}
	b, _ := enrolled(t, op, operatortest.NewSource(tenants...), nil)
	b.Turns().SetMost(1)
	const messages, fanout = 6000, 3
	var wg sync.WaitGroup
	for _, tenant := range tenants {
		user := tenant.User("u", nil)
		for range fanout {
			s := b.dial()
			s.login(user)
			s.send("SUB a 1\r\nPING\r\n")
			s.expect("PONG")
			wg.Go(func() {
				next := [2]int{}
				for range 2 * messages {
					var from, seq int
					s.line() // of the protocol; the message is the next
					if _, err := fmt.Sscanf(s.line(), "%d %d", &from, &seq); err != nil || seq != next[from] {
						t.Errorf("got message %d of %d, want %d: %v", seq, from, next[from], err)
						return
					}
					next[from]++
				}
			})
		}
		for from := range 2 {
			var all strings.Builder
			for seq := range messages {
				fmt.Fprintf(&all, "PUB a 7\r\n%d %05d\r\n", from, seq)
			}
			p := b.dial()
			p.login(user)
			wg.Go(func() { p.send(all.String()) })
		}
		victim := b.dial()
		victim.login(user)
		wg.Go(func() {
			_, _ = victim.nc.Write([]byte(strings.Repeat("PUB nobody 1\r\nx\r\n", 20_000)))
			_ = victim.nc.Close()
		})
	}
	wg.Wait()
	eventually(t, "all turns are given back", func() bool { return b.Turns().Taken() == 0 })
}
