package lookout

import (
	"time"

	"golang.org/x/sys/unix"
)

// longSlice is how long a thread that gives way runs at a time: longer than others
// do, and so the kernel lets others run first when they wake up.
const longSlice = 10 * time.Millisecond

// GiveWay lets the kernel run other threads of this process as soon as they have
// something to do, even if that takes the processor from the calling thread. It
// gets no less of the processor for it. The answer is for Insist; 0 if the kernel
// knows no such thing.
func GiveWay() (thread int) {
	tid := unix.Gettid()
	if slice(tid, longSlice) != nil {
		return 0
	}
	return tid
}

// Insist ends what GiveWay began; 0 is for nothing.
func Insist(thread int) {
	if thread != 0 {
		_ = slice(thread, 0) // the thread may have ended
	}
}

// slice says how long a thread runs at a time; 0 is for the usual. All else stays
// as whoever started the program chose it.
func slice(thread int, d time.Duration) error {
	attr, err := unix.SchedGetAttr(thread, 0)
	if err != nil {
		return err
	}
	attr.Runtime = uint64(d) //nolint:gosec // not negative
	return unix.SchedSetAttr(thread, attr, 0)
}
