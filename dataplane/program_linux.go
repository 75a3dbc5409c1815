package dataplane

import (
	"bufio"
	"bytes"
	"io"
	"os"
	"strconv"
	"strings"
	"syscall"
)

// releaseProgram lets go of the pages of the program itself that only its start
// needed: initialising libraries touches many, and the kernel maps what lies
// around each. What goes on being used is mapped again from the page cache. It is
// only about what is resident; whatever fails, nothing is lost. It returns how
// many bytes it let go of.
func releaseProgram() (released int64) {
	program, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return 0
	}
	maps, err := os.Open("/proc/self/smaps")
	if err != nil {
		return 0
	}
	defer func() { _ = maps.Close() }() // it was only read
	for _, m := range untouched(maps, program) {
		if _, _, errno := syscall.RawSyscall(syscall.SYS_MADVISE, m.from, m.to-m.from, syscall.MADV_DONTNEED); errno == 0 {
			released += m.resident
		}
	}
	return released
}

// mapping is a part of the program that is mapped from its file.
type mapping struct {
	from, to uintptr
	resident int64
}

// untouched returns the mappings of a program that can only be read, and of
// which no page is other than in the file: a linker or a debugger may have
// changed some, and those exist nowhere else.
func untouched(smaps io.Reader, program string) (all []mapping) {
	var m mapping
	ours := false
	lines := bufio.NewScanner(smaps)
	for lines.Scan() {
		f := bytes.Fields(lines.Bytes())
		switch {
		case len(f) >= 5 && !bytes.HasSuffix(f[0], []byte(":")): // from-to permissions offset device inode path
			m, ours = mapping{}, len(f) == 6 && string(f[5]) == program && (string(f[1]) == "r-xp" || string(f[1]) == "r--p")
			if ours {
				ours = m.between(string(f[0]))
			}
		case len(f) == 3 && string(f[0]) == "Rss:":
			m.resident = kib(f[1])
		case ours && len(f) == 3 && string(f[0]) == "Anonymous:" && string(f[1]) == "0":
			all = append(all, m)
		}
	}
	return all
}

// between parses a range of addresses.
func (m *mapping) between(text string) bool {
	a, b, _ := strings.Cut(text, "-")
	from, err := strconv.ParseUint(a, 16, 64)
	to, err2 := strconv.ParseUint(b, 16, 64)
	m.from, m.to = uintptr(from), uintptr(to)
	return err == nil && err2 == nil && from < to
}

func kib(text []byte) int64 {
	n, _ := strconv.ParseInt(string(text), 10, 64) // 0 if it is none
	return n << 10
}
