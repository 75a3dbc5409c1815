package conn

import (
	"runtime"
	"testing"

	"github.com/coveymq/covey/dataplane/internal/turn"
)

// TestOnlyWhoHasCompanyGivesWay: a reader that works for long gives way if another
// account was served lately, until it waits.
func TestOnlyWhoHasCompanyGivesWay(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("threads give way on Linux only")
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	h := &Host{}
	w := getWorker(h)
	defer putWorker(w)
	c := &Client{host: h} // of those who are nobody yet
	long := func(gives bool) {
		t.Helper()
		h.attend(c.share())
		w.spent = briefWork
		if !c.goOn(w) {
			t.Error("the batch ended although nobody waits")
		}
		if c.thread != 0 != gives {
			t.Errorf("thread %d gives way, want %t", c.thread, gives)
		}
		c.endTurn(w)
		if c.thread != 0 {
			t.Error("it gives way while it waits")
		}
	}
	long(false)
	h.attend(new(turn.Share)) // somebody of an account
	long(true)
	long(true)
	h.wheel.now.Add(companyLasts)
	long(false)
}
