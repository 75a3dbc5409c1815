package up

import (
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strconv"

	"github.com/spf13/pflag"

	"github.com/coveymq/covey/cmd/covey/internal/term"
	"github.com/coveymq/covey/internal/obs"
)

// host is where everything listens: there is no flag to change it, since
// nothing of `covey up` is meant for a network.
const host = "127.0.0.1"

// Default ports.
const (
	portNATS    = 4222
	portMonitor = 8222
	portAPI     = 7422
	portFleet   = 7423
	portHTTP    = 7480
	portOTLP    = 4317
	portMax     = 65535
)

// Options is what `covey up` takes.
type Options struct {
	DataDir string
	Log     obs.LogOptions
	Brokers int

	NATSPort, MonitorPort, APIPort, FleetPort, HTTPPort, OTLPPort int
}

func (o *Options) flags(f *pflag.FlagSet) {
	f.StringVar(&o.DataDir, "data", o.DataDir, "where everything is kept")
	f.StringVar(&o.Log.Level, "log-level", "info", "debug, info, warn or error")
	f.StringVar(&o.Log.Format, "log-format", "text", "text or json")
	f.IntVar(&o.Brokers, "brokers", 1, "how many brokers; those after the first have any free ports")
	for _, p := range o.ports() {
		f.IntVar(p.value, p.flag, p.byDefault, "port of "+p.what+"; 0 is any free one")
	}
}

// port is one listener's flag.
type port struct {
	value     *int
	byDefault int
	flag      string
	what      string
}

func (o *Options) ports() []port {
	return []port{
		{&o.NATSPort, portNATS, "nats-port", "NATS clients"},
		{&o.MonitorPort, portMonitor, "monitor-port", "monitoring"},
		{&o.APIPort, portAPI, "api-port", "the gRPC API"},
		{&o.FleetPort, portFleet, "fleet-port", "the fleet service"},
		{&o.HTTPPort, portHTTP, "http-port", "REST"},
		{&o.OTLPPort, portOTLP, "otlp-port", "the OTLP receiver"},
	}
}

func (o *Options) validate() error {
	if o.DataDir == "" {
		return term.Usagef("give --data DIR, or set HOME", "no data directory is known")
	}
	if err := o.Log.Validate(); err != nil {
		return term.Usagef("see `covey up --help`", "%w", err)
	}
	if o.Brokers < 1 || o.Brokers > brokersMax {
		return term.Usagef(fmt.Sprintf("1 to %d run in one process", brokersMax), "--brokers %d is no number of brokers", o.Brokers)
	}
	taken := make(map[int]string)
	for _, p := range o.ports() {
		n := *p.value
		if n < 0 || n > portMax {
			return term.Usagef("ports are 0 to 65535", "--%s %d is not a port", p.flag, n)
		}
		if other, twice := taken[n]; twice && n != 0 {
			return term.Usagef("each listener needs its own port", "--%s and --%s are both %d", other, p.flag, n)
		}
		taken[n] = p.flag
	}
	return nil
}

func addr(port int) string { return net.JoinHostPort(host, strconv.Itoa(port)) }

// DefaultDataDir returns $XDG_DATA_HOME/covey, or ~/.local/share/covey.
func DefaultDataDir(getenv func(string) string) (string, error) {
	if dir := getenv("XDG_DATA_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "covey"), nil
	}
	if home := getenv("HOME"); filepath.IsAbs(home) {
		return filepath.Join(home, ".local", "share", "covey"), nil
	}
	return "", errors.New("neither XDG_DATA_HOME nor HOME is an absolute path")
}
