package meter

import (
	"errors"
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// arena hands out segments: of the usage file, or of ordinary memory when
// there is no file. Segments never move. It is guarded by the meter's mutex.
type arena struct {
	file *os.File // nil: ordinary memory
	path string
	size int64
	maps [][]byte // what is mapped, the header first
}

// segment is one mapped piece of the file.
type segment struct {
	base int64 // its offset
	mem  []byte
}

// openArena creates a usage file that is complete the moment it has its name.
func openArena(path string, fill func(headerPage []byte)) (*arena, error) {
	draft := path + draftSuffix
	f, err := os.OpenFile(draft, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, fmt.Errorf("create usage file: %w", err)
	}
	a := &arena{file: f, path: path}
	if err := a.prepare(draft, fill); err != nil {
		return nil, errors.Join(err, os.Remove(draft), a.close(true))
	}
	return a, nil
}

func (a *arena) prepare(draft string, fill func([]byte)) error {
	if err := lock(a.file); err != nil {
		return fmt.Errorf("lock usage file: %w", err)
	}
	head, err := a.extend(headerSize)
	if err != nil {
		return err
	}
	fill(head.mem)
	if err := os.Rename(draft, a.path); err != nil {
		return fmt.Errorf("name usage file: %w", err)
	}
	return nil
}

// header returns the header page, or nil without a file.
func (a *arena) header() *header {
	if a.file == nil {
		return nil
	}
	return (*header)(unsafe.Pointer(&a.maps[0][0]))
}

// segment allocates a segment of the given kind.
func (a *arena) segment(kind uint64) (segment, error) {
	s, err := a.extend(segmentSize)
	if err != nil {
		return segment{}, err
	}
	*(*uint64)(unsafe.Pointer(&s.mem[0])) = kind
	return s, nil
}

// extend adds n bytes. Their blocks are allocated before they are mapped:
// writing to a hole on a full disk would kill the process with SIGBUS.
func (a *arena) extend(n int64) (segment, error) {
	s := segment{base: a.size}
	if a.file == nil {
		words := make([]uint64, n/8) // words, so that the memory is aligned
		s.mem = unsafe.Slice((*byte)(unsafe.Pointer(&words[0])), n)
		a.size += n
		return s, nil
	}
	if err := allocate(a.file, a.size, n); err != nil {
		return segment{}, errors.Join(fmt.Errorf("allocate usage file: %w", err), a.file.Truncate(a.size))
	}
	mem, err := unix.Mmap(int(a.file.Fd()), a.size, int(n), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return segment{}, errors.Join(fmt.Errorf("map usage file: %w", err), a.file.Truncate(a.size))
	}
	s.mem = mem
	a.maps = append(a.maps, mem)
	a.size += n
	return s, nil
}

// close gives the file and its lock up. With unmap false the memory stays
// readable and writable until the process ends, for users that have not gone.
func (a *arena) close(unmap bool) error {
	if a.file == nil {
		return nil
	}
	// A mapping keeps the lock alive after the file is closed.
	err := unix.Flock(int(a.file.Fd()), unix.LOCK_UN)
	if unmap {
		for _, m := range a.maps {
			err = errors.Join(err, unix.Munmap(m))
		}
		a.maps = nil
	}
	return errors.Join(err, a.file.Close())
}

// lock takes the file for this process, or fails at once.
func lock(f *os.File) error {
	return unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
}

// zeroFill allocates by writing, where the file system cannot do better.
func zeroFill(f *os.File, offset, n int64) error {
	_, err := f.WriteAt(make([]byte, n), offset)
	return err
}
