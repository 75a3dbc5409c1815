package meter

import (
	"fmt"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/coveymq/covey/internal/errs"
)

// smallDisk mounts a file system of the given size, if the test may.
func smallDisk(t *testing.T, size string) string {
	t.Helper()
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size="+size); err != nil {
		t.Skipf("cannot mount a small file system: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

func TestFullDiskIsRefusedAtTheStart(t *testing.T) {
	dir := smallDisk(t, "128k")
	if _, err := Open(dir, Options{}); errs.CodeOf(err) != errs.Exhausted {
		t.Errorf("Open = %v, want %v", err, errs.Exhausted)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Errorf("left %v, %v", left, err)
	}
}

// A disk that is full later refuses what is new and keeps counting what it has;
// a write into a hole would end the process here.
func TestFullDiskKeepsCounting(t *testing.T) {
	m := open(t, smallDisk(t, "520k")) // the header, and one segment of each kind
	var accounts []*Account
	for i := 0; ; i++ {
		a, err := m.Account(fmt.Sprintf("A%055d", i))
		if err != nil {
			if errs.CodeOf(err) != errs.Exhausted {
				t.Errorf("Account = %v, want %v", err, errs.Exhausted)
			}
			break
		}
		accounts = append(accounts, a)
	}
	if len(accounts) != (segmentSize-segmentPrefix)/recordSize {
		t.Errorf("%d accounts in a segment", len(accounts))
	}
	for range (segmentSize-segmentPrefix)/intentSize + 1 {
		m.Intent().Set(accounts[0], 1, 1) // the last one is in no file
	}
	for _, a := range accounts {
		a.Delivered(1, 2)
	}
	if n := len(m.series()); n != len(accounts) {
		t.Errorf("%d series, want %d", n, len(accounts))
	}
	accounts[0].Release() // its record holds counts and stays
	if _, err := m.Account("ANEW"); err == nil {
		t.Error("an account took a record that is in use")
	}
}
