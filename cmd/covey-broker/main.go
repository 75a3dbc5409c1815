// Command covey-broker runs one broker.
package main

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/coveymq/covey/dataplane"
)

var version = "dev"

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "covey-broker: "+err.Error())
		os.Exit(1)
	}
}

func run() error {
	var cfg dataplane.Config
	var cp dataplane.ControlPlane
	var tokenFile string
	flag.StringVar(&cfg.Host, "a", "127.0.0.1", "host to listen on for clients")
	flag.IntVar(&cfg.Port, "p", 4222, "port to listen on for clients; 0 for any free one")
	flag.StringVar(&cfg.MonitorAddr, "monitor", "", "host:port of the monitoring endpoints; empty for none")
	flag.StringVar(&cfg.ServerName, "n", "", "name of this broker")
	flag.StringVar(&cfg.StateDir, "state-dir", "", "directory for usage counters and cached claims")
	flag.StringVar(&cp.FleetAddr, "control-plane", "", "host:port of the control plane's fleet service; empty to stand alone")
	flag.StringVar(&cp.OTLPAddr, "otlp", "", "host:port of the usage receiver")
	flag.StringVar(&cp.OperatorPublicKey, "operator-public-key", "", "the operator whose accounts are served")
	flag.StringVar(&tokenFile, "join-token-file", "", "file with the join token, until the broker is enrolled")
	flag.Parse()
	if flag.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q; see -help", flag.Arg(0))
	}
	cfg.Version = version
	cfg.Logger = slog.New(slog.NewTextHandler(os.Stderr, nil))
	cfg.Drain = dataplane.DefaultDrain()
	if cp.FleetAddr != "" {
		if cfg.StateDir == "" || cp.OperatorPublicKey == "" || cp.OTLPAddr == "" {
			return fmt.Errorf("-control-plane also needs -state-dir, -operator-public-key and -otlp")
		}
		if tokenFile != "" {
			text, err := os.ReadFile(tokenFile)
			if err != nil {
				return fmt.Errorf("join token: %w", err)
			}
			cp.JoinToken = dataplane.JoinToken(strings.TrimSpace(string(text)))
		}
		cfg.ControlPlane = &cp
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	b, err := dataplane.New(ctx, cfg)
	if err != nil {
		return err
	}
	return b.Run(ctx)
}
