package lookout_test

import (
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/coveymq/covey/dataplane/internal/lookout"
)

// TestGiveWay asks the kernel what it knows of the thread.
func TestGiveWay(t *testing.T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	before := schedule(t)
	thread := lookout.GiveWay()
	if thread == 0 {
		t.Skip("this kernel has no slices of a thread's own")
	}
	if thread != unix.Gettid() {
		t.Errorf("thread %d gives way, want %d", thread, unix.Gettid())
	}
	during := schedule(t)
	lookout.Insist(thread)
	after := schedule(t)
	if before.Runtime == 0 {
		t.Skip("this kernel does not tell slices") // before Linux 6.12
	}
	if want := uint64(10 * time.Millisecond); during.Runtime != want {
		t.Errorf("a slice of %d ns, want %d", during.Runtime, want)
	}
	if after != before {
		t.Errorf("scheduled by %+v, before by %+v", after, before)
	}
	if during.Runtime = before.Runtime; during != before {
		t.Errorf("more than the slice changed: %+v, before %+v", during, before)
	}
}

func schedule(t *testing.T) unix.SchedAttr {
	t.Helper()
	attr, err := unix.SchedGetAttr(0, 0)
	if err != nil {
		t.Fatal(err)
	}
	return *attr
}
