package maintain

import (
	"strings"

	"github.com/spf13/pflag"

	"github.com/coveymq/covey/cmd/covey/internal/term"
	"github.com/coveymq/covey/controlplane"
)

// storeFlags say which store a command works on.
type storeFlags struct {
	cfg                 controlplane.Config
	endpoints, password string
}

func (s *storeFlags) add(f *pflag.FlagSet) {
	f.StringVar(&s.cfg.DataDir, "data", "", "data directory of the control plane")
	f.StringVar(&s.endpoints, "etcd-endpoints", "", "comma-separated URLs of an etcd; empty is the one in the data directory")
	f.StringVar(&s.cfg.Etcd.CAFile, "etcd-ca", "", "CA file for etcd")
	f.StringVar(&s.cfg.Etcd.CertFile, "etcd-cert", "", "client certificate file for etcd")
	f.StringVar(&s.cfg.Etcd.KeyFile, "etcd-key", "", "client key file for etcd")
	f.StringVar(&s.cfg.Etcd.User, "etcd-user", "", "user of etcd")
	f.StringVar(&s.password, "etcd-password-file", "", "file with the user's password")
}

// custodian adds who seals secrets, for commands that do.
func (s *storeFlags) custodian(f *pflag.FlagSet) {
	f.StringVar(&s.cfg.Custodian, "custodian", "", "who seals secrets: empty is custody.key in the data directory, else a URL")
}

// config returns the configuration that the flags make.
func (s *storeFlags) config(streams *term.Streams) (controlplane.Config, error) {
	if s.cfg.DataDir == "" {
		return s.cfg, term.Usagef("give the data directory of the control plane that is to run on it", "--data is missing")
	}
	if s.endpoints != "" {
		s.cfg.Etcd.Endpoints = strings.Split(s.endpoints, ",")
	}
	if s.password != "" {
		var err error
		if s.cfg.Etcd.Password, err = controlplane.ReadSecret(s.password); err != nil {
			return s.cfg, err
		}
	}
	s.cfg.Logger = logger(streams)
	return s.cfg, nil
}
