package interest

// Bare reports whether nothing at all is left in the index.
func (x *Index) Bare() bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.count == 0 && x.wilds.Load() == 0 &&
		x.literal.slots.Load() == nil && x.literal.live == 0 && x.literal.used == 0 &&
		x.wild.empty() && x.wild.tokens.slots.Load() == nil
}
