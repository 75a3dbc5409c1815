//go:build race

package conn

// raceEnabled: the race detector makes pools forget, so allocations mean nothing.
const raceEnabled = true
