package conn

import "github.com/coveymq/covey/dataplane/internal/turn"

// Turns are the turns that readers take.
func (h *Host) Turns() *turn.Turns { return &h.turns }
