package config

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/coveymq/covey/dataplane/internal/auth"
)

// Mode is what a command line asks for.
type Mode uint8

// The modes.
const (
	Serve Mode = iota
	Help
	Version
	Check  // of a configuration file
	Signal // to a running broker
	HelpTLS
)

// Command is a parsed command line.
type Command struct {
	Mode Mode
	// File is the configuration file; empty for none.
	File string
	// Signal is what -signal was given.
	Signal string

	overrides []func(*Options) // in the order of the command line
	explicit  map[string]bool  // which of our own block's keys were given
	tls       tlsFlags
}

var errUnsupported = errors.New("not supported yet")

// Parse reads a command line without the program's name. Flags have
// nats-server's names, each with one dash or two.
func Parse(args []string) (*Command, error) {
	c := &Command{explicit: make(map[string]bool)}
	p := &parser{FlagSet: flag.NewFlagSet("covey-broker", flag.ContinueOnError), c: c}
	p.SetOutput(io.Discard)
	p.define()
	if err := p.FlagSet.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			c.Mode = Help
			return c, nil
		}
		return nil, err
	}
	if p.NArg() > 0 {
		switch strings.ToLower(p.Arg(0)) {
		case "version":
			c.Mode = Version
		case "help":
			c.Mode = Help
		default:
			return nil, fmt.Errorf("unrecognized command: %q", p.Arg(0))
		}
	}
	if c.Mode == Check && c.File == "" {
		return nil, errors.New("must specify [-c, --config] option to check configuration file syntax")
	}
	return c, nil
}

// Options reads the file, if there is one, and puts the flags over it. It may
// be called again, when the file has changed.
func (c *Command) Options() (*Options, error) {
	o := Default()
	if c.File != "" {
		if err := o.load(c.File); err != nil {
			return nil, err
		}
	}
	for _, override := range c.overrides {
		override(o)
	}
	if err := c.checkFlags(o); err != nil {
		return nil, err
	}
	if err := c.tls.apply(o); err != nil {
		return nil, err
	}
	if err := o.secure(); err != nil {
		return nil, err
	}
	o.resolve()
	if err := o.checkMonitoring(); err != nil {
		return nil, err
	}
	return o, nil
}

// checkFlags sees whether file and flags fit together.
func (c *Command) checkFlags(o *Options) error {
	if missing := o.Covey.missing(); len(missing) > 0 {
		return fmt.Errorf("a control plane also needs %s", strings.Join(missing, ", "))
	}
	switch {
	case o.Covey.stray():
		return errors.New("the control plane is missing")
	case o.Covey.badKey():
		return errors.New("the operator's public key is not one")
	case c.explicit["auth"] && (o.Covey.ControlPlane != "" || o.Operator != nil):
		return errors.New("--user, --pass and --auth are not for brokers whose accounts an operator signed")
	case c.explicit["auth"] && len(o.Access.Users) > 0:
		return errors.New("--user, --pass and --auth do not go together with a list of users or accounts")
	case o.Access.Token != "" && o.Access.User != "":
		return errors.New("there cannot be both a token and a user with a password")
	case strings.Contains(o.ServerName, " "):
		return errors.New("the server name cannot contain spaces")
	}
	if o.Advertise != "" {
		if _, _, err := HostPort(o.Advertise, 1); err != nil {
			return fmt.Errorf("client_advertise is %q: %w", o.Advertise, err)
		}
	}
	return o.Cluster.fault()
}

// parser defines flags that note what they override.
type parser struct {
	*flag.FlagSet
	c *Command
}

func (p *parser) override(f func(*Options)) { p.c.overrides = append(p.c.overrides, f) }

func (p *parser) str(set func(*Options, string), names ...string) {
	for _, name := range names {
		p.Func(name, "", func(v string) error {
			p.override(func(o *Options) { set(o, v) })
			return nil
		})
	}
}

func (p *parser) num(low, high int64, set func(*Options, int64), names ...string) {
	for _, name := range names {
		p.Func(name, "", func(v string) error {
			n, err := strconv.ParseInt(v, 10, 64)
			if err != nil || n < low || n > high {
				return fmt.Errorf("not a number from %d to %d", low, high)
			}
			p.override(func(o *Options) { set(o, n) })
			return nil
		})
	}
}

func (p *parser) port(set func(*Options, int), names ...string) {
	p.num(AnyPort, 65535, func(o *Options, n int64) {
		if n == 0 {
			n = AnyPort
		}
		set(o, int(n))
	}, names...)
}

func (p *parser) boolean(set func(*Options, bool), names ...string) {
	for _, name := range names {
		p.BoolFunc(name, "", func(v string) error {
			b, err := parseBool(v)
			if err != nil {
				return err
			}
			p.override(func(o *Options) { set(o, b) })
			return nil
		})
	}
}

func parseBool(v string) (bool, error) {
	b, err := strconv.ParseBool(v)
	if err != nil {
		return false, errors.New("not a boolean")
	}
	return b, nil
}

func (p *parser) mode(m Mode, names ...string) {
	for _, name := range names {
		p.BoolFunc(name, "", func(v string) error {
			b, err := strconv.ParseBool(v)
			if err == nil && b && (p.c.Mode == Serve || p.c.Mode == Check || p.c.Mode == Signal) {
				p.c.Mode = m
			}
			return err
		})
	}
}

// refuseTrue defines switches of features that do not exist yet. They may be off.
func (p *parser) refuseTrue(names ...string) {
	for _, name := range names {
		p.BoolFunc(name, "", func(v string) error {
			if b, err := strconv.ParseBool(v); err != nil || b {
				return errUnsupported
			}
			return nil
		})
	}
}

func (p *parser) secret(set func(*Options, string), name string) {
	p.Func(name, "", func(v string) error {
		p.c.explicit["auth"] = v != ""
		p.override(func(o *Options) { set(o, v) })
		return nil
	})
}

func (p *parser) define() {
	p.mode(Help, "h", "help")
	p.mode(Version, "v", "version")
	p.mode(HelpTLS, "help_tls")
	p.mode(Check, "t")
	for _, name := range [...]string{"c", "config"} {
		p.StringVar(&p.c.File, name, "", "")
	}
	for _, name := range [...]string{"sl", "signal"} {
		p.Func(name, "", func(v string) error {
			p.c.Mode, p.c.Signal = Signal, v
			return nil
		})
	}
	p.defineServer()
	p.defineLogging()
	p.defineAccess()
	p.defineCluster()
	p.defineTLS()
	p.defineStoreDir()
	p.defineProfile()
	p.refuseTrue("js", "jetstream")
}

func (p *parser) defineServer() {
	p.str(func(o *Options, v string) { o.Host = v }, "a", "addr", "net")
	p.port(func(o *Options, v int) { o.Port = v }, "p", "port")
	p.str(func(o *Options, v string) { o.ServerName = v }, "n", "name", "server_name")
	p.str(func(o *Options, v string) { o.PidFile = v }, "P", "pid")
	p.port(func(o *Options, v int) { o.MonitorPort = v }, "m", "http_port")
	p.port(func(o *Options, v int) { o.MonitorTLSPort = v }, "ms", "https_port")
	p.str(func(o *Options, v string) { o.Advertise = v }, "client_advertise")
	p.str(func(o *Options, v string) { o.PortsFileDir = v }, "ports_file_dir")
}

func (p *parser) defineLogging() {
	p.str(func(o *Options, v string) { o.Log.File = v }, "l", "log")
	p.boolean(func(o *Options, v bool) { o.Log.Time = v }, "T", "logtime")
	p.boolean(func(o *Options, v bool) { o.Log.UTC = v }, "logtime_utc")
	p.boolean(func(o *Options, v bool) { o.Log.Syslog = v }, "s", "syslog")
	p.str(func(o *Options, v string) { o.Log.RemoteSyslog = v }, "r", "remote_syslog")
	p.boolean(func(o *Options, v bool) { o.Log.Debug = v }, "D", "debug")
	p.defineTrace()
	p.num(0, 1<<62, func(o *Options, v int64) { o.Log.SizeLimit = v }, "log_size_limit")
}

func (p *parser) defineAccess() {
	p.secret(func(o *Options, v string) { o.Access.User = v }, "user")
	p.secret(func(o *Options, v string) { o.Access.Password = auth.Secret(v) }, "pass")
	p.secret(func(o *Options, v string) { o.Access.Token = auth.Secret(v) }, "auth")
	p.str(func(o *Options, v string) { o.Covey.ControlPlane = v }, "control-plane")
	p.str(func(o *Options, v string) { o.Covey.OTLP = v }, "otlp")
	p.str(func(o *Options, v string) { o.Covey.OperatorPublicKey = v }, "operator-public-key")
	p.str(func(o *Options, v string) { o.Covey.JoinTokenFile = v }, "join-token-file")
	p.str(func(o *Options, v string) { o.Covey.StateDir = v }, "state-dir")
}
