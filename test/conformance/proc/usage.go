package proc

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"
)

// clockTick is the unit of the times in /proc/<pid>/stat; Linux fixes USER_HZ
// at 100 on every architecture Go supports.
const clockTick = 10 * time.Millisecond

var errProcFormat = errors.New("unexpected /proc format")

// CPU returns the processor time, user and system, the process has used.
func (s *Server) CPU() (time.Duration, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", s.PID()))
	if err != nil {
		return 0, fmt.Errorf("read process times: %w", err)
	}
	return parseCPU(text)
}

// parseCPU reads fields 14 (utime) and 15 (stime) of a stat line. The command
// name, field 2, may itself hold spaces and parentheses.
func parseCPU(stat []byte) (time.Duration, error) {
	end := bytes.LastIndexByte(stat, ')')
	if end < 0 {
		return 0, errProcFormat
	}
	fields := bytes.Fields(stat[end+1:])
	if len(fields) < 13 {
		return 0, errProcFormat
	}
	var ticks int64
	for _, f := range fields[11:13] {
		n, err := strconv.ParseInt(string(f), 10, 64)
		if err != nil {
			return 0, errProcFormat
		}
		ticks += n
	}
	return time.Duration(ticks) * clockTick, nil
}

// Memory is what a process holds of memory, in bytes.
type Memory struct {
	RSS  int64 // resident now
	Peak int64 // highest resident so far, or since ResetPeak
	Own  int64 // resident now that is not a file's
}

// Memory returns the resident memory of the process.
func (s *Server) Memory() (Memory, error) { return MemoryOf(s.PID()) }

// MemoryOf returns the resident memory of any process.
func MemoryOf(pid int) (Memory, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return Memory{}, fmt.Errorf("read process status: %w", err)
	}
	return parseMemory(text)
}

func parseMemory(status []byte) (Memory, error) {
	var m Memory
	for line := range bytes.Lines(status) {
		f := bytes.Fields(line)
		if len(f) < 2 {
			continue
		}
		var dst *int64
		switch string(f[0]) {
		case "VmRSS:":
			dst = &m.RSS
		case "VmHWM:":
			dst = &m.Peak
		case "RssAnon:":
			dst = &m.Own
		default:
			continue
		}
		kib, err := strconv.ParseInt(string(f[1]), 10, 64)
		if err != nil {
			return Memory{}, errProcFormat
		}
		*dst = kib << 10
	}
	if m.RSS == 0 {
		return Memory{}, errProcFormat
	}
	return m, nil
}

// ResetPeak makes the current resident memory the new peak.
func (s *Server) ResetPeak() error {
	const resetPeakRSS = "5"
	return os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", s.PID()), []byte(resetPeakRSS), 0o600)
}
