package process

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
)

// fileMode lets everybody read: neither file holds a secret.
const fileMode = 0o644

// Ports is where a process listens, in the form of nats-server's ports file.
type Ports struct {
	NATS       []string `json:"nats,omitempty"`
	Monitoring []string `json:"monitoring,omitempty"`
	Cluster    []string `json:"cluster,omitempty"`
}

// Name is what this program was started as.
func Name() string { return filepath.Base(os.Args[0]) }

// WritePid writes this process's id to a file.
func WritePid(path string) error {
	if err := os.WriteFile(path, []byte(strconv.Itoa(os.Getpid())), fileMode); err != nil {
		return fmt.Errorf("write pid file: %w", err)
	}
	return nil
}

// WritePorts writes the ports file of this process in a directory and returns
// its path. Who waits for the file finds it whole or not at all.
func WritePorts(dir string, p Ports) (string, error) {
	path := filepath.Join(dir, fmt.Sprintf("%s_%d.ports", Name(), os.Getpid()))
	text, err := json.Marshal(p)
	if err != nil {
		return "", fmt.Errorf("write ports file: %w", err)
	}
	if err := os.WriteFile(path+".new", text, fileMode); err != nil {
		return "", fmt.Errorf("write ports file: %w", err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		return "", fmt.Errorf("write ports file: %w", err)
	}
	return path, nil
}
