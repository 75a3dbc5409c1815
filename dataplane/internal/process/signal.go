package process

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// byName returns the signal of a command.
func byName(command string) (syscall.Signal, error) {
	switch command {
	case "stop":
		return syscall.SIGKILL, nil
	case "quit":
		return syscall.SIGINT, nil
	case "term":
		return syscall.SIGTERM, nil
	case "reload":
		return syscall.SIGHUP, nil
	case "reopen":
		return syscall.SIGUSR1, nil
	case "ldm":
		return syscall.SIGUSR2, nil
	}
	return 0, fmt.Errorf("unknown signal %q", command)
}

// Signal sends what a command line asks for: a command, or command=process. A
// process is an id, the path of a pid file, or the beginning of ids followed by
// an asterisk. Without one there must be exactly one process of this program.
func Signal(s string) error {
	command, process, named := strings.Cut(s, "=")
	if strings.Contains(process, "=") {
		return fmt.Errorf("invalid signal parameters: %q", process)
	}
	number, err := byName(command)
	if err != nil {
		return err
	}
	var pids []int
	if named {
		pids, err = find(process)
	} else {
		pids, err = only()
	}
	if err != nil {
		return err
	}
	var all []error
	for _, pid := range pids {
		if err := syscall.Kill(pid, number); err != nil {
			all = append(all, fmt.Errorf("signal %q %d: %w", command, pid, err))
		}
	}
	return errors.Join(all...)
}

// find returns the processes that a text names.
func find(process string) ([]int, error) {
	if prefix, glob := strings.CutSuffix(process, "*"); glob {
		pids, err := running()
		if err != nil {
			return nil, err
		}
		var all []int
		for _, pid := range pids {
			if strings.HasPrefix(strconv.Itoa(pid), prefix) {
				all = append(all, pid)
			}
		}
		if len(all) == 0 {
			return nil, fmt.Errorf("no %s processes running", Name())
		}
		return all, nil
	}
	if text, err := os.ReadFile(process); err == nil {
		process = strings.TrimSpace(string(text))
	}
	pid, err := strconv.Atoi(process)
	if err != nil || pid <= 0 { // 0 and below would be groups of processes
		return nil, fmt.Errorf("invalid pid: %s", process)
	}
	return []int{pid}, nil
}

// only returns the one process of this program beside our own.
func only() ([]int, error) {
	pids, err := running()
	switch {
	case err != nil:
		return nil, err
	case len(pids) == 0:
		return nil, fmt.Errorf("no %s processes running", Name())
	case len(pids) > 1:
		return nil, fmt.Errorf("multiple %s processes running: %v", Name(), pids)
	}
	return pids, nil
}

// commMax is how much of a program's name the kernel keeps.
const commMax = 15

// running returns the processes of this program beside our own.
func running() ([]int, error) {
	comms, err := filepath.Glob("/proc/[0-9]*/comm")
	if err != nil || len(comms) == 0 {
		return nil, errors.New("unable to resolve pid, try providing one")
	}
	name := Name()
	name = name[:min(len(name), commMax)]
	var pids []int
	for _, path := range comms {
		text, err := os.ReadFile(path)
		if err != nil || strings.TrimSuffix(string(text), "\n") != name {
			continue // it is gone, or another program
		}
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		if err == nil && pid != os.Getpid() {
			pids = append(pids, pid)
		}
	}
	return pids, nil
}
