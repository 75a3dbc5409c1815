// Command covey-controlplane runs a Covey control plane on its own.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/coveymq/covey/controlplane"
	"github.com/coveymq/covey/internal/errs"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return
		}
		fmt.Fprintln(os.Stderr, "covey-controlplane:", oneLine(err))
		os.Exit(1)
	}
}

func oneLine(err error) string {
	var e *errs.Error
	if errors.As(err, &e) {
		return e.Public()
	}
	return err.Error()
}

func run(args []string) error {
	var cfg controlplane.Config
	flags := flag.NewFlagSet("covey-controlplane", flag.ContinueOnError)
	flags.StringVar(&cfg.DataDir, "data", "", "data `directory`")
	flags.StringVar(&cfg.APIAddr, "api", controlplane.DefaultAPIAddr, "gRPC `address`; port 0 is any free one")
	flags.StringVar(&cfg.HTTPAddr, "http", controlplane.DefaultHTTPAddr, "REST `address`")
	flags.StringVar(&cfg.FleetAddr, "fleet", controlplane.DefaultFleetAddr, "`address` for brokers")
	flags.StringVar(&cfg.OTLPAddr, "otlp", controlplane.DefaultOTLPAddr, "`address` for usage reports")
	flags.StringVar(&cfg.TLSCertFile, "tls-cert", "", "certificate `file` for gRPC and REST")
	flags.StringVar(&cfg.TLSKeyFile, "tls-key", "", "key `file` for gRPC and REST")
	endpoints := flags.String("etcd-endpoints", "", "comma-separated `URLs` of an etcd; empty runs one in this process")
	flags.StringVar(&cfg.Etcd.CAFile, "etcd-ca", "", "CA `file` for etcd")
	flags.StringVar(&cfg.Etcd.CertFile, "etcd-cert", "", "client certificate `file` for etcd")
	flags.StringVar(&cfg.Etcd.KeyFile, "etcd-key", "", "client key `file` for etcd")
	keyFile := flags.String("operator-key-file", "", "`file` that the first start writes the operator's API key to")
	tokenFile := flags.String("join-token-file", "", "`file` that each start writes a join token for one broker to")
	publicFile := flags.String("operator-public-key-file", "", "`file` that each start writes the operator's public key to")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *endpoints != "" {
		cfg.Etcd.Endpoints = strings.Split(*endpoints, ",")
	}
	cfg.Logger = slog.New(slog.NewJSONHandler(os.Stderr, nil))
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	server, err := controlplane.New(ctx, cfg)
	if err != nil {
		return err
	}
	err = errors.Join(controlplane.KeepBootstrapKey(server, *keyFile), controlplane.KeepForBrokers(ctx, server, *tokenFile, *publicFile))
	if err != nil {
		return errors.Join(err, server.Close())
	}
	return server.Run(ctx)
}
