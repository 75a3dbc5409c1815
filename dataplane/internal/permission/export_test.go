package permission

// Shared returns how many sets are in use.
func Shared() int {
	sets.mu.Lock()
	defer sets.mu.Unlock()
	return len(sets.byText)
}
