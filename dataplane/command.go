package dataplane

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"

	"github.com/coveymq/covey/dataplane/internal/config"
	"github.com/coveymq/covey/dataplane/internal/gcpace"
	"github.com/coveymq/covey/dataplane/internal/natslog"
	"github.com/coveymq/covey/dataplane/internal/process"
)

// Exit codes of Command.
const (
	exitOK    = 0
	exitError = 1
)

// gcPercent is how much the heap may grow between collections while they are
// few. The broker makes next to no garbage while it delivers, so collecting more
// often costs nothing that can be measured, and memory is what idle connections
// take. GOGC overrules, and then nothing changes it.
const gcPercent = 50

// Command is the program: it reads the command line, without the program's name,
// does what it asks for, and returns the exit code. A broker that it serves
// obeys the signals that nats-server obeys, and leaves when ctx ends.
func Command(ctx context.Context, args []string, version string, stdout, stderr io.Writer) int {
	fail := func(code int, err error) int {
		_, _ = fmt.Fprintf(stderr, "%s: %v\n", process.Name(), err) // nobody is left to tell
		return code
	}
	c, err := config.Parse(args)
	if err != nil {
		return fail(exitError, fmt.Errorf("%w; see --help", err))
	}
	switch c.Mode {
	case config.Help:
		_, err = fmt.Fprint(stdout, config.Usage)
	case config.HelpTLS:
		_, err = fmt.Fprint(stdout, config.UsageTLS())
	case config.Version:
		// The first line is for programs that look for what they know.
		_, err = fmt.Fprintf(stdout, "nats-server: v%s\ncovey-broker: %s\n", Level, version)
	case config.Signal:
		err = process.Signal(c.Signal)
	case config.Check:
		var o *config.Options
		if o, err = c.Options(); err == nil {
			warn(stderr, o)
			_, err = fmt.Fprintf(stderr, "%s: configuration file %s is valid (%s)\n", process.Name(), o.File, o.Digest)
		}
	case config.Serve:
		err = serve(ctx, c, version, stderr)
	}
	if err != nil {
		return fail(exitError, err)
	}
	return exitOK
}

func warn(w io.Writer, o *config.Options) {
	for _, p := range o.Warnings {
		_, _ = fmt.Fprintln(w, p.Error()) // the check goes on
	}
}

// serve runs a broker until it is told to leave.
func serve(ctx context.Context, c *config.Command, version string, stderr io.Writer) (err error) {
	if os.Getenv("GOGC") == "" {
		defer gcpace.Start(ctx, gcPercent)()
	}
	o, err := c.Options()
	if err != nil {
		return err
	}
	cfg, err := brokerConfig(o)
	if err != nil {
		return err
	}
	log, err := natslog.Open(stderr, o.Log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, log.Close()) }()
	cfg.Version, cfg.Logger = version, slog.New(log)
	cfg.Logger.Info("Starting covey-broker")
	if o.File != "" {
		cfg.Logger.Info(fmt.Sprintf("Using configuration file: %s (%s)", o.File, o.Digest))
	}
	sayWarnings(cfg.Logger, o)
	b, err := New(ctx, cfg)
	if err != nil {
		return err
	}
	s := &service{command: c, options: o, log: log, logger: cfg.Logger, broker: b}
	return s.run(ctx)
}

// sayWarnings logs what is accepted but worth a word.
func sayWarnings(log *slog.Logger, o *config.Options) {
	for _, p := range o.Warnings {
		log.Warn(p.Error())
	}
}

// brokerConfig turns what a broker was told into what it needs to know.
func brokerConfig(o *config.Options) (Config, error) {
	cfg := Config{
		Host: o.Host, Port: max(o.Port, 0), Advertise: o.Advertise, ServerName: o.ServerName,
		Labels:    Labels{Tags: o.Tags, Metadata: o.Metadata},
		NoHeaders: o.NoHeaders, StateDir: o.Covey.StateDir,
		Limits:  o.Covey.Limits,
		Metrics: Metrics{Push: o.Covey.MetricsPush, Interval: o.Covey.MetricsInterval},
		Profile: Profile(o.Profile),
		Drain:   Drain{Grace: o.LameDuckGrace, Spread: o.LameDuckDuration - o.LameDuckGrace, Flush: DefaultDrain().Flush},
		Clients: &o.Clients, Access: &o.Access, Operator: o.Operator,
	}
	if port := cmp.Or(o.MonitorPort, o.MonitorTLSPort); port != 0 {
		cfg.MonitorBasePath, cfg.ConfigDigest, cfg.MonitorTLS = o.MonitorBasePath, o.Digest, o.MonitorTLSPort != 0
		cfg.MonitorAddr = joinPort(o.MonitorHost, max(port, 0))
	}
	if o.Cluster != nil {
		cfg.Cluster = clusterOf(o)
	}
	if o.Covey.ControlPlane == "" {
		return cfg, nil
	}
	cfg.ControlPlane = &ControlPlane{
		FleetAddr: o.Covey.ControlPlane, OTLPAddr: o.Covey.OTLP, OperatorPublicKey: o.Covey.OperatorPublicKey,
	}
	if file := o.Covey.JoinTokenFile; file != "" {
		text, err := os.ReadFile(file)
		if err != nil {
			return Config{}, fmt.Errorf("join token: %w", err)
		}
		cfg.ControlPlane.JoinToken = JoinToken(strings.TrimSpace(string(text)))
	}
	return cfg, nil
}
