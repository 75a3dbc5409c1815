package proc

import (
	"bytes"
	"errors"
	"fmt"
	"os"

	"github.com/coveymq/covey/internal/testport"
)

// FreePort returns a port that nobody else takes before a server listens on it.
func FreePort() (int, error) { return testport.Free() }

// FreeAddr is FreePort as host:port.
func FreeAddr() (string, error) { return testport.Addr() }

// listening reports whether some process listens on the port, by the
// kernel's socket table: state 0A is LISTEN, addresses are little-endian hex.
func listening(port int) (bool, error) {
	for _, table := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		text, err := os.ReadFile(table)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return false, fmt.Errorf("read socket table: %w", err)
		}
		suffix := fmt.Appendf(nil, ":%04X", port)
		for line := range bytes.Lines(text) {
			f := bytes.Fields(line)
			if len(f) > 3 && bytes.HasSuffix(f[1], suffix) && string(f[3]) == "0A" {
				return true, nil
			}
		}
	}
	return false, nil
}
