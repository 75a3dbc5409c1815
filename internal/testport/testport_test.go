package testport

import "testing"

// Two processes never get the same port, and one gets another one each time.
func TestPortsOfTwoProcessesDiffer(t *testing.T) {
	seen := make(map[int]bool)
	for _, b := range []*block{{}, {}} { // each is what a process has
		for range blockSize / 2 {
			port, err := b.free()
			if err != nil {
				t.Fatal(err)
			}
			if seen[port] {
				t.Fatalf("port %d was given twice", port)
			}
			seen[port] = true
		}
	}
}
