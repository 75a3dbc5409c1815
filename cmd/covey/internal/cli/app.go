// Package cli is the `covey` command line: a client of the public API, and of
// nothing else. It turns flags and contexts into calls and answers into tables
// or JSON. It holds no state between calls but the contexts.
//
// One App serves one invocation, from one goroutine.
package cli

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/proto"

	"github.com/coveymq/covey/cmd/covey/internal/contexts"
	"github.com/coveymq/covey/cmd/covey/internal/term"
)

// Env is what an invocation gets from its process.
type Env struct {
	In       io.Reader
	Out, Err io.Writer
	Getenv   func(string) string
	Terminal bool // standard error is a terminal
	Version  Version

	// Probe connects to a context's brokers, for doctor: which one answered, and
	// how long an answer takes. Without it brokers are not looked at.
	Probe func(context.Context, *contexts.Context) (server string, rtt time.Duration, err error)
}

// App is one invocation.
type App struct {
	env     Env
	root    *cobra.Command
	streams *term.Streams // JSON is set once flags are parsed

	began bool // the command's own code was reached

	// Global flags.
	contextName string
	timeout     time.Duration

	filter  string // of the command that lists
	orderBy string // likewise

	dry     bool          // the command is only tried; set before its own code is reached
	preview proto.Message // of a dry run: the answer that says what the change would do
}

// callTimeoutDefault bounds one call of the API; a suspended laptop or a lost
// network must not leave a command hanging.
const callTimeoutDefault = 30 * time.Second

// New makes an App with all commands of the API. Commands that live elsewhere
// are added with Add.
func New(env Env) *App {
	a := &App{env: env, streams: &term.Streams{In: env.In, Out: env.Out, Err: env.Err}}
	a.streams.Color = env.Terminal && env.Getenv("NO_COLOR") == "" && env.Getenv("TERM") != "dumb"
	a.root = &cobra.Command{
		Use:           "covey",
		Short:         "Managed messaging in a box: run it, sign up, publish, be metered",
		Long:          rootHelp,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          cobra.ArbitraryArgs,
		RunE:          helpOrUnknown,
	}
	a.root.SuggestionsMinimumDistance = 2
	a.root.SetIn(env.In)
	a.root.SetOut(env.Out)
	a.root.SetErr(env.Err)
	a.root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return term.Usagef("see `"+cmd.CommandPath()+" --help`", "%w", err)
	})
	f := a.root.PersistentFlags()
	f.BoolVar(&a.streams.JSON, "json", false, "print data as JSON")
	f.StringVar(&a.contextName, "context", "", "context to use (default: $COVEY_CONTEXT, else the selected one)")
	f.DurationVar(&a.timeout, "timeout", callTimeoutDefault, "how long one call may take")
	_ = a.root.RegisterFlagCompletionFunc("context", a.completeContexts)

	a.Add(a.signupCommand(), a.orgCommand(), a.accountCommand(), a.userCommand(), a.credsCommand(),
		a.roleCommand(), a.keyCommand(), a.serviceAccountCommand(), a.apiKeyCommand(), a.memberCommand(), a.exportCommand(), a.importCommand(), a.shareCommand(), a.explainCommand(), a.doctorCommand(), a.watchCommand(), a.federationCommand(), a.alertCommand(), a.whoamiCommand(), a.usageCommand(), a.auditCommand(), a.operationCommand(), a.contextCommand(), a.versionCommand(), a.adminCommand())
	offerPreviews(a.root, previews())
	a.offerNames(a.root)
	return a
}

const rootHelp = `Managed messaging in a box: run it, sign up, publish, be metered.

  covey up                                   a whole Covey on this machine
  covey signup --org acme --email a@b.c      an organization, an account, a user, its credentials
  covey sub '>' & covey pub hello world      messages
  covey usage                                what was counted

Exit codes: 0 done, 1 failed, 2 wrong usage, 3 not found, 4 not allowed,
5 quota used up, 6 partly done.`

// Add adds commands.
func (a *App) Add(cmds ...*cobra.Command) {
	for _, c := range cmds {
		a.prepare(c)
		a.root.AddCommand(c)
	}
}

// AddAdmin adds commands to `covey admin`.
func (a *App) AddAdmin(cmds ...*cobra.Command) {
	for _, admin := range a.root.Commands() {
		if admin.Name() != adminName {
			continue
		}
		for _, c := range cmds {
			a.prepare(c)
			addOrMerge(admin, c)
		}
	}
}

// addOrMerge adds a command; a group that is there already gets what is in it.
func addOrMerge(to, c *cobra.Command) {
	for _, there := range to.Commands() {
		if there.Name() == c.Name() {
			there.AddCommand(c.Commands()...)
			return
		}
	}
	to.AddCommand(c)
}

// prepare makes a group of commands refuse words it does not know, instead of
// printing its help and calling that a success, and notes when a command's own
// code begins: what failed before that is wrong usage.
func (a *App) prepare(c *cobra.Command) {
	for _, sub := range c.Commands() {
		a.prepare(sub)
	}
	if listsResources(c) {
		c.Flags().StringVar(&a.orderBy, "order-by", "", `order of what is listed, for example 'create_time desc, name'`)
		c.Flags().StringVar(&a.filter, "filter", "", `only what matches, for example 'state = ACTIVE AND display_name = "Shop*"'`)
	}
	c.SuggestionsMinimumDistance = 2
	run := c.RunE
	if run == nil {
		c.Args = cobra.ArbitraryArgs
		run = helpOrUnknown
	}
	c.RunE = func(cmd *cobra.Command, args []string) error {
		a.began, a.dry = true, isDry(cmd)
		if err := run(cmd, args); err != nil {
			return err
		}
		return a.showCost()
	}
}

// listsResources reports whether a command lists what the API lists.
func listsResources(c *cobra.Command) bool {
	switch c.Name() {
	case "list":
		return c.Parent() == nil || c.Parent().Name() != "context"
	case "invitations", "offers":
		return true
	}
	return false
}

func helpOrUnknown(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return cmd.Help()
	}
	next := "see `" + cmd.CommandPath() + " --help`"
	if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
		next = "did you mean `" + cmd.CommandPath() + " " + near[0] + "`?"
	}
	return term.Usagef(next, "unknown command %q for `%s`", args[0], cmd.CommandPath())
}

// Streams is where commands that are added read and write.
func (a *App) Streams() *term.Streams { return a.streams }

// Root is the root command, for documentation and tests.
func (a *App) Root() *cobra.Command { return a.root }

// Run runs one command line and returns the exit code.
func (a *App) Run(ctx context.Context, args []string) int {
	a.root.SetArgs(args)
	err := a.root.ExecuteContext(ctx)
	if err == nil {
		return term.ExitOK
	}
	if _, ours := errors.AsType[*term.Fault](err); !ours && !a.began {
		err = term.Usagef("see `covey --help`", "%w", err)
	}
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		err = &term.Fault{Code: term.ExitFailure, What: "interrupted"}
	}
	a.streams.PrintFault(err)
	return term.AsFault(err).Code
}

// Store opens the user's contexts.
func (a *App) Store() (*contexts.Store, error) {
	dir, err := contexts.DefaultDir(a.env.Getenv)
	if err != nil {
		return nil, term.Failf("set HOME, or XDG_CONFIG_HOME", "find the configuration directory: %w", err)
	}
	return contexts.Open(dir), nil
}
