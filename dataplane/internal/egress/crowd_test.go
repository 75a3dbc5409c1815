package egress_test

import (
	"testing"

	"github.com/coveymq/covey/dataplane/internal/egress"
)

// Where nobody else publishes, nobody is let go first for long.
func TestACrowdIsForgotten(t *testing.T) {
	near, far := pair(t, 0)
	var slots egress.Slots
	c := newConn(near, &slots, roomy(), make(chan egress.Reason, 1))
	reader := newPeer(t, far)
	reader.read()
	c.SetCrowd(egress.CrowdMax)
	var pub publisher
	defer pub.end()
	for seq := range egress.CrowdMax {
		pub.begin()
		pub.publish(c, "s", pattern(0, seq, 16))
		pub.batch.Flush(nil)
	}
	if n := c.Crowd(); n != 0 {
		t.Errorf("after %d lone publishes the crowd is %d", egress.CrowdMax, n)
	}
	c.Close()
	if all, left := frames(reader.all()); len(all) != egress.CrowdMax || left != 0 {
		t.Errorf("%d frames came, and %d bytes more", len(all), left)
	}
}
