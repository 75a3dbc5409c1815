// Command covey is Covey's command line: the client of the public API, a NATS
// client, and the whole of Covey on one machine (`covey up`).
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/mattn/go-isatty"

	"github.com/coveymq/covey/cmd/covey/internal/cli"
	"github.com/coveymq/covey/cmd/covey/internal/maintain"
	"github.com/coveymq/covey/cmd/covey/internal/natscmd"
	"github.com/coveymq/covey/cmd/covey/internal/up"
)

// Set by the linker in releases.
var version, commit string

func main() {
	os.Exit(run())
}

func run() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	// The first signal asks; from then on a second one ends the process.
	context.AfterFunc(ctx, stop)

	v := cli.NewVersion(version, commit)
	app := cli.New(cli.Env{
		In: os.Stdin, Out: os.Stdout, Err: os.Stderr, Getenv: os.Getenv,
		Terminal: isatty.IsTerminal(os.Stderr.Fd()), Version: v, Probe: natscmd.Probe,
	})
	app.Add(natscmd.Commands(app.Streams(), app.OptionalContext)...)
	app.Add(up.Command(up.Deps{
		Streams: app.Streams(), Store: app.Store, Getenv: os.Getenv,
		Parts: up.Parts{ControlPlane: up.NewControlPlane, Broker: up.NewBroker(v.Number)},
	}))
	app.AddAdmin(maintain.Commands(app.Streams())...)
	return app.Run(ctx, os.Args[1:])
}
