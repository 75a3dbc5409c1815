//go:build !linux

package lookout

// GiveWay does nothing here.
func GiveWay() (thread int) { return 0 }

// Insist does nothing here.
func Insist(int) {}
