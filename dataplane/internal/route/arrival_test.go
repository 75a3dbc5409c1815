package route

import "testing"

// Turns of a batch are short while several accounts use a link, and for some
// batches after that; an account that is alone has long ones.
func TestTurnsAreShortWhileAccountsShareALink(t *testing.T) {
	l, a, b := &link{}, &arrival{}, &arrival{}
	at := func(batch uint64, who *arrival, want int) {
		t.Helper()
		if l.batch = batch; l.turn(who) != want {
			t.Errorf("batch %d: a turn is not %d deliveries", batch, want)
		}
	}
	at(1, a, sharedDeliveries) // nobody knows yet
	at(sharedBatches, a, sharedDeliveries)
	at(sharedBatches+1, a, turnDeliveries)
	at(500, a, turnDeliveries)
	at(501, b, sharedDeliveries)
	at(501, a, sharedDeliveries)
	at(500+sharedBatches, a, sharedDeliveries)
	at(501+sharedBatches, a, turnDeliveries)
}
