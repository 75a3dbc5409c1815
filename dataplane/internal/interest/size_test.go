package interest

import (
	"testing"
	"unsafe"
)

// A broker holds millions of these. What makes them larger makes each
// subscription cost more, and has to be worth it.
func TestSizes(t *testing.T) {
	const line = 64
	if s := unsafe.Sizeof(Sub{}); s != line {
		t.Errorf("a subscription has %d bytes, want %d", s, line)
	}
	if s := unsafe.Sizeof(entry{}); s != line {
		t.Errorf("an entry has %d bytes, want %d", s, line)
	}
}
