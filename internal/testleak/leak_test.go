package testleak

import (
	"strings"
	"sync"
	"testing"
	"time"
)

// Who is about to end is waited for, and who is not is found.
func TestFind(t *testing.T) {
	var wg sync.WaitGroup
	defer wg.Wait()
	leave := make(chan struct{})
	wg.Go(func() { <-leave })
	if err := find(0); err == nil || !strings.Contains(err.Error(), "TestFind") {
		t.Errorf("a goroutine that stays: %v", err)
	}
	wg.Go(func() {
		<-time.After(time.Second) // more than goleak waits by itself
		close(leave)
	})
	if err := find(patience); err != nil {
		t.Errorf("a goroutine that leaves: %v", err)
	}
}
