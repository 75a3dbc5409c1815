package egress

import "sync/atomic"

// Tally counts messages and their bytes. It is added to once for many of them.
type Tally struct{ Messages, Bytes atomic.Uint64 }

// Add counts.
func (t *Tally) Add(messages, bytes uint64) {
	t.Messages.Add(messages)
	t.Bytes.Add(bytes)
}

// count counts what is handed over of an account to a connection that accounts
// share.
func (s *stage) count() {
	if s.tally == nil {
		return
	}
	var messages, bytes uint64
	for i := range s.segs {
		messages += uint64(s.segs[i].frames)
		bytes += s.segs[i].size
	}
	s.tally.Add(messages, bytes)
}
