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
	"sync"
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
	reencrypt := len(args) > 0 && args[0] == "reencrypt"
	if reencrypt {
		args = args[1:]
	}
	set, err := parse(args)
	if err != nil {
		return err
	}
	cfg := set.config
	cfg.Logger = slog.New(slog.NewJSONHandler(os.Stderr, nil))
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if reencrypt {
		n, err := controlplane.RenewSecrets(ctx, cfg)
		_, _ = fmt.Fprintln(os.Stdout, n, "secrets sealed anew") // the log says it, too
		return err
	}
	server, err := controlplane.New(ctx, cfg)
	if err != nil {
		return err
	}
	err = errors.Join(controlplane.KeepBootstrapKey(server, set.operatorKey), controlplane.KeepForBrokers(ctx, server, set.joinToken, set.operatorPublicKey))
	if err != nil {
		return errors.Join(err, server.Close())
	}
	var beside sync.WaitGroup
	defer beside.Wait()
	beside.Go(func() { controlplane.BoundGarbage(ctx) })
	defer stop() // before the wait: it may also have failed
	return server.Run(ctx)
}
