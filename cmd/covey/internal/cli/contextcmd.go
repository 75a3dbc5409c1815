package cli

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/coveymq/covey/cmd/covey/internal/contexts"
	"github.com/coveymq/covey/cmd/covey/internal/term"
)

func (a *App) contextCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "context", Aliases: []string{"contexts"}, Short: "Choose which control plane to talk to, and as whom"}
	cmd.AddCommand(a.contextList(), a.contextShow(), a.contextUse(), a.contextAdd(), a.contextDelete())
	for _, sub := range cmd.Commands() {
		if strings.Contains(sub.Use, "NAME") && sub.Name() != "add" {
			sub.ValidArgsFunction = a.completeContexts
		}
	}
	return cmd
}

// contextView is what is shown of a context: never its key.
type contextView struct {
	Name     string `json:"name"`
	Selected bool   `json:"selected"`
	HasKey   bool   `json:"has_api_key"`
	*contexts.Context
}

func view(c *contexts.Context, selected string) contextView {
	return contextView{Name: c.Name, Selected: c.Name == selected, HasKey: !c.APIKey.IsZero(), Context: c}
}

func (a *App) contextList() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List contexts; the selected one is marked", Args: term.Exactly(),
		RunE: func(*cobra.Command, []string) error {
			store, err := a.Store()
			if err != nil {
				return err
			}
			selected := a.named()
			if selected == "" {
				if selected, err = store.Current(); err != nil {
					return err
				}
			}
			all, problems := store.List()
			views := make([]contextView, 0, len(all))
			rows := make([][]string, 0, len(all))
			for _, c := range all {
				v := view(c, selected)
				views = append(views, v)
				mark := ""
				if v.Selected {
					mark = "*"
				}
				rows = append(rows, []string{mark + c.Name, string(c.Role), c.Organization, c.APIAddr, c.NATSURL})
			}
			if a.streams.JSON {
				return errors.Join(a.streams.PrintJSON(map[string]any{"contexts": views}), problems)
			}
			return errors.Join(a.streams.Table([]string{"CONTEXT", "ROLE", "ORGANIZATION", "API", "NATS"}, rows), problems)
		},
	}
}

func (a *App) contextShow() *cobra.Command {
	return &cobra.Command{
		Use: "show [NAME]", Short: "Show one context, without its key", Args: term.Between(0, "NAME"),
		RunE: func(_ *cobra.Command, args []string) error {
			if len(args) == 1 {
				a.contextName = args[0]
			}
			c, err := a.Context()
			if err != nil {
				return err
			}
			store, err := a.Store()
			if err != nil {
				return err
			}
			current, err := store.Current()
			if err != nil {
				return err
			}
			if a.streams.JSON {
				return a.streams.PrintJSON(view(c, current))
			}
			return a.streams.Describe(
				term.Pair{Name: "context", Value: c.Name}, term.Pair{Name: "role", Value: string(c.Role)},
				term.Pair{Name: "API", Value: c.APIAddr}, term.Pair{Name: "HTTP", Value: c.HTTPURL},
				term.Pair{Name: "NATS", Value: c.NATSURL}, term.Pair{Name: "CA", Value: c.CA},
				term.Pair{Name: "organization", Value: c.Organization}, term.Pair{Name: "account", Value: c.Account},
				term.Pair{Name: "user", Value: c.User}, term.Pair{Name: "credentials", Value: c.CredsFile},
				term.Pair{Name: "API key", Value: c.APIKey.String()})
		},
	}
}

func (a *App) contextUse() *cobra.Command {
	return &cobra.Command{
		Use: "use NAME", Aliases: []string{"select"}, Short: "Select a context", Args: term.Exactly("NAME"),
		RunE: func(_ *cobra.Command, args []string) error {
			store, err := a.Store()
			if err != nil {
				return err
			}
			if _, err := load(store, args[0]); err != nil {
				return err
			}
			if err := store.Use(args[0]); err != nil {
				return err
			}
			a.streams.Sayf("Context %s is selected.", args[0])
			return nil
		},
	}
}

func (a *App) contextDelete() *cobra.Command {
	return &cobra.Command{
		Use: "delete NAME", Short: "Delete a context; its API key is gone with it", Args: term.Exactly("NAME"),
		RunE: func(_ *cobra.Command, args []string) error {
			store, err := a.Store()
			if err != nil {
				return err
			}
			if !store.Exists(args[0]) { // one that cannot be read can be deleted
				_, err := load(store, args[0])
				return err
			}
			if err := store.Delete(args[0]); err != nil {
				return err
			}
			a.streams.Sayf("Context %s is deleted; credentials files stay.", args[0])
			return nil
		},
	}
}

func (a *App) contextAdd() *cobra.Command {
	c := &contexts.Context{}
	var keyFile string
	var operator, force, use bool
	cmd := &cobra.Command{
		Use: "add NAME", Short: "Add a context for a control plane that runs elsewhere", Args: term.Exactly("NAME"),
		Example: "  covey context add prod --api-addr api.example:7422 --api-key-file key.txt --org acme",
		RunE: func(_ *cobra.Command, args []string) error {
			store, err := a.Store()
			if err != nil {
				return err
			}
			c.Name = args[0]
			if !contexts.ValidName(c.Name) {
				return term.Usagef("", "%w: %q", contexts.ErrName, c.Name)
			}
			if store.Exists(c.Name) && !force {
				return term.Failf("choose another name, or replace it with --force", "a context named %q exists", c.Name)
			}
			c.Role = contexts.RoleOwner
			if operator {
				c.Role = contexts.RoleOperator
			}
			if c.APIKey, err = a.readKey(keyFile); err != nil {
				return err
			}
			if err := store.Put(c); err != nil {
				return err
			}
			if use {
				err = store.Use(c.Name)
			}
			a.streams.Sayf("Context %s is kept.", c.Name)
			return err
		},
	}
	f := cmd.Flags()
	f.StringVar(&c.APIAddr, "api-addr", "", "gRPC address, host:port")
	f.StringVar(&c.HTTPURL, "http-url", "", "REST address")
	f.StringVar(&c.NATSURL, "nats-url", "", "brokers' address")
	f.StringVar(&c.CA, "ca", "", "PEM file of the API's certificate authority")
	f.StringVar(&c.Organization, "org", "", "organization that short ids belong to")
	f.StringVar(&c.Account, "account", "", "account that short ids belong to")
	f.StringVar(&c.User, "user", "", "user that credentials commands take by default")
	f.StringVar(&c.CredsFile, "creds", "", "credentials file for publish and subscribe")
	f.StringVar(&keyFile, "api-key-file", "", "file with the API key; - reads standard input")
	f.BoolVar(&operator, "operator", false, "the key is an operator's")
	f.BoolVar(&force, "force", false, "replace a context that exists")
	f.BoolVar(&use, "use", false, "select it")
	return cmd
}

// readKey reads a key from a file; none from no file.
func (a *App) readKey(path string) (contexts.APIKey, error) {
	if path == "" {
		return contexts.APIKey{}, nil
	}
	return a.readSecret(path, "API key")
}

// readSecret reads a secret from a file: on a command line it would be seen by
// every user of the machine.
func (a *App) readSecret(path, what string) (contexts.APIKey, error) {
	const keyMax = 1024 // a key is under 100 bytes
	return a.readLine(path, what, keyMax)
}

// readToken reads the token of an identity provider, which says much.
func (a *App) readToken(path string) (string, error) {
	const tokenMax = 16 << 10
	token, err := a.readLine(path, "token", tokenMax)
	return token.Reveal(), err
}

func (a *App) readLine(path, what string, most int64) (contexts.APIKey, error) {
	in := a.streams.In
	if path != "-" {
		f, err := os.Open(path)
		if err != nil {
			return contexts.APIKey{}, term.Failf("", "read %s: %w", what, err)
		}
		defer func() { _ = f.Close() }()
		in = f
	}
	line, err := bufio.NewReader(io.LimitReader(in, most)).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return contexts.APIKey{}, fmt.Errorf("read %s: %w", what, err)
	}
	key := strings.TrimSpace(line)
	if key == "" {
		return contexts.APIKey{}, term.Usagef("it is the file's first line", "%s holds no %s", path, what)
	}
	return contexts.NewAPIKey(key), nil
}
