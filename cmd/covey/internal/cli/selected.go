package cli

import (
	"errors"

	"github.com/spf13/cobra"

	"github.com/coveymq/covey/cmd/covey/internal/contexts"
	"github.com/coveymq/covey/cmd/covey/internal/term"
)

// named returns the context's name that flag or environment give; empty when
// neither does.
func (a *App) named() string {
	if a.contextName != "" {
		return a.contextName
	}
	return a.env.Getenv("COVEY_CONTEXT")
}

// Context returns the context that this invocation is to use.
func (a *App) Context() (*contexts.Context, error) {
	store, err := a.Store()
	if err != nil {
		return nil, err
	}
	name := a.named()
	if name == "" {
		if name, err = store.Current(); err != nil {
			return nil, err
		}
	}
	if name == "" {
		return nil, term.Usagef("start a Covey here with `covey up`, or choose one with `covey context use NAME`", "no context is selected")
	}
	return load(store, name)
}

// OptionalContext is Context for commands that can do without one: it returns
// nil when none is asked for and none is selected.
func (a *App) OptionalContext() (*contexts.Context, error) {
	store, err := a.Store()
	if err != nil {
		if a.named() != "" {
			return nil, err
		}
		return nil, nil // no home directory is no context
	}
	current, err := store.Current()
	if err != nil {
		return nil, err
	}
	if a.named() == "" && (current == "" || !store.Exists(current)) {
		return nil, nil // documented: none
	}
	return a.Context()
}

// operatorContext is the context that signs up organizations: the named one,
// else the selected one if it is an operator's, else the operator context of
// the control plane that started last. So signing up a second tenant works
// although the first one's context got selected.
func (a *App) operatorContext() (*contexts.Context, error) {
	store, err := a.Store()
	if err != nil {
		return nil, err
	}
	if name := a.named(); name != "" {
		return load(store, name)
	}
	current, err := store.Current()
	if err != nil {
		return nil, err
	}
	if current != "" && store.Exists(current) {
		c, err := load(store, current)
		if err != nil || c.IsOperator() {
			return c, err
		}
	}
	c, err := store.LatestOperator()
	if errors.Is(err, contexts.ErrNotFound) {
		return nil, term.Usagef(
			"run `covey up` here, or add the operator's context with `covey context add`",
			"signing up takes an operator's key, and no context has one")
	}
	return c, err
}

func load(store *contexts.Store, name string) (*contexts.Context, error) {
	c, err := store.Get(name)
	switch {
	case errors.Is(err, contexts.ErrNotFound):
		return nil, term.NotFoundf("see `covey context list`", "no context named %q", name)
	case errors.Is(err, contexts.ErrName):
		return nil, term.Usagef("see `covey context list`", "%w", err)
	default:
		return c, err
	}
}

func (a *App) completeContexts(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	store, err := a.Store()
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	all, _ := store.List() // what can be read is what can be offered
	names := make([]string, 0, len(all))
	for _, c := range all {
		names = append(names, c.Name)
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}
