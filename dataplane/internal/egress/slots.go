package egress

import "sync"

// Slots gives each connection a small number, so that a Batch finds a
// destination's stage by indexing an array.
type Slots struct {
	mu   sync.Mutex
	free []uint32 // guarded by mu
	next uint32   // guarded by mu
}

func (s *Slots) take() uint32 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := len(s.free); n > 0 {
		slot := s.free[n-1]
		s.free = s.free[:n-1]
		return slot
	}
	s.next++
	return s.next - 1
}

func (s *Slots) give(slot uint32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.free = append(s.free, slot)
}
