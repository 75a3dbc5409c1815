// Package testleak looks for goroutines that the tests of a package left behind.
// It serves tests only, and is called from TestMain.
package testleak

import (
	"fmt"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// patience is how long what was told to stop may take to be gone. goleak by
// itself waits for less than half a second: that is too little for connections
// that end by themselves once their other end has, where other tests keep the
// processors busy. What stays is found all the same.
const patience = 20 * time.Second

// Main runs the tests and ends the process. It fails if goroutines are left that
// are not among those to ignore.
func Main(m *testing.M, ignore ...goleak.Option) {
	code := m.Run()
	if code == 0 {
		if err := find(patience, ignore...); err != nil {
			_, _ = fmt.Fprintln(os.Stderr, "goroutines are left behind:", err)
			code = 1
		}
	}
	os.Exit(code)
}

// find waits until nothing is left, and returns what still is after that time.
func find(within time.Duration, ignore ...goleak.Option) error {
	for deadline := time.Now().Add(within); ; {
		err := goleak.Find(ignore...) // it waits, too
		if err == nil || time.Now().After(deadline) {
			return err //nolint:wrapcheck // it is what Main prints
		}
	}
}
