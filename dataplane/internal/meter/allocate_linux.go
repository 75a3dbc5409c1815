package meter

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// allocate makes sure that the disk has the blocks of a range of the file.
func allocate(f *os.File, offset, n int64) error {
	err := unix.Fallocate(int(f.Fd()), 0, offset, n)
	if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.ENOSYS) {
		return zeroFill(f, offset, n)
	}
	return err
}
