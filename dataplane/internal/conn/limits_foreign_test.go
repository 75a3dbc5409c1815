package conn_test

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// TestWhoCannotBeSlowedUsesNothingUp floods an account from elsewhere, where
// nobody can be slowed: it gets what its rate allows all the while, and what is
// dropped for it is not held against what comes later.
func TestWhoCannotBeSlowedUsesNothingUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, a := limited(t, "msgs-out=100/100/slow")
		s := b.pipe()
		s.connect("")
		s.send("SUB a 1\r\nPING\r\n")
		s.expect("PONG")
		got := make(chan int)
		_ = s.nc.SetReadDeadline(time.Time{})
		var wg sync.WaitGroup
		defer wg.Wait()
		wg.Go(func() {
			n := 0
			for {
				if _, err := s.in.ReadString('\n'); err != nil {
					got <- n / 2 // a line, and the message
					return
				}
				n++
			}
		})
		const seconds = 20
		tick := time.NewTicker(10 * time.Millisecond)
		for range seconds * 100 {
			<-tick.C
			for range 10 {
				b.Publish(a, "a", "", nil, []byte("x"))
			}
		}
		tick.Stop()
		synctest.Wait()
		_ = s.nc.Close()
		// A burst, what may be ahead, and what the rate has given since.
		const want = 100 + 100 + seconds*100
		if n := <-got; n < want*98/100 || n > want*102/100 {
			t.Errorf("%d messages of %d a second for %d s came, want %d", n, 1000, seconds, want)
		}
	})
}
