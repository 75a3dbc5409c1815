package dataplane

import (
	"errors"
	"fmt"
	"os"

	"github.com/coveymq/covey/dataplane/internal/config"
	"github.com/coveymq/covey/dataplane/internal/process"
)

// writeFiles writes the pid file and the ports file.
func (s *service) writeFiles() error {
	return errors.Join(s.writePid(s.options.PidFile), s.writePorts(s.options.PortsFileDir))
}

func (s *service) writePid(path string) error {
	if path == "" {
		return nil
	}
	return process.WritePid(path)
}

func (s *service) writePorts(dir string) error {
	if dir == "" {
		return nil
	}
	scheme := "nats://"
	if s.broker.host.Options().TLS != nil {
		scheme = "tls://"
	}
	ports := process.Ports{NATS: []string{scheme + s.broker.clients.Addr().String()}}
	if u := s.broker.MonitorURL(); u != "" {
		ports.Monitoring = []string{u}
	}
	if s.broker.mesh != nil {
		ports.Cluster = []string{"nats://" + s.broker.mesh.Addr()}
	}
	path, err := process.WritePorts(dir, ports)
	s.portsFile = path
	return err
}

// removeFiles takes away what goes when the process goes.
func (s *service) removeFiles() {
	if s.portsFile == "" {
		return
	}
	if err := os.Remove(s.portsFile); err != nil {
		s.logger.Error(fmt.Sprintf("Error cleaning up ports file %s: %v", s.portsFile, err))
	}
	s.portsFile = ""
}

// moveFiles writes the files where another configuration wants them.
func (s *service) moveFiles(next *config.Options) error {
	var all []error
	if next.PidFile != s.options.PidFile {
		all = append(all, s.writePid(next.PidFile))
	}
	if next.PortsFileDir != s.options.PortsFileDir {
		s.removeFiles()
		all = append(all, s.writePorts(next.PortsFileDir))
	}
	return errors.Join(all...)
}
