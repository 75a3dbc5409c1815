package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/coveymq/covey/cmd/covey/internal/contexts"
	"github.com/coveymq/covey/cmd/covey/internal/term"
	apiv1 "github.com/coveymq/covey/proto/covey/api/v1"
)

type signup struct {
	app      *App
	org      string
	email    string
	display  string
	credsOut string
	force    bool
}

func (a *App) signupCommand() *cobra.Command {
	s := &signup{app: a}
	cmd := &cobra.Command{
		Use:   "signup --org NAME --email ADDRESS",
		Short: "Create an organization with its first account, user and credentials",
		Long: `Create an organization with its first account, user and credentials.

The credentials file is written 0600, and the organization's owner key is kept
in a context named like the organization, which becomes the selected one. Both
secrets exist nowhere else. Signing up takes an operator's key: that of the
named context, of the selected one, or of the Covey that started last here.`,
		Example: "  covey signup --org acme --email ada@acme.example",
		Args:    term.Exactly(),
		RunE:    func(cmd *cobra.Command, _ []string) error { return s.run(cmd.Context()) },
	}
	f := cmd.Flags()
	f.StringVar(&s.org, "org", "", "the organization's id: lower-case letters, digits, '-'")
	f.StringVar(&s.email, "email", "", "whom to write to")
	f.StringVar(&s.display, "display-name", "", "the organization's name for people")
	f.StringVar(&s.credsOut, "creds-out", "", "write the credentials file here")
	f.BoolVar(&s.force, "force", false, "replace a context or credentials file that exists")
	return cmd
}

func (s *signup) run(ctx context.Context) error {
	if s.org == "" {
		return term.Usagef("for example --org acme", "--org is missing")
	}
	if s.email == "" {
		return term.Usagef("for example --email ada@acme.example", "--email is missing")
	}
	store, err := s.app.Store()
	if err != nil {
		return err
	}
	operator, err := s.app.operatorContext()
	if err != nil {
		return err
	}
	if err := s.refuseOverwrite(store); err != nil {
		return err
	}
	// The answer's secrets exist once: the place for them is made sure of first.
	place, err := reserve(store, s.credsOut)
	if err != nil {
		return err
	}
	defer place.discard()
	conn, err := s.app.dial(operator)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	resp, err := apiv1.NewOrganizationServiceClient(conn).SignUp(ctx, &apiv1.SignUpRequest{
		OrganizationId: s.org, ContactEmail: s.email, DisplayName: s.display, RequestId: uuid.NewString(),
	})
	if err != nil {
		return err
	}
	return s.keep(store, operator, place, resp)
}

// refuseOverwrite keeps what exists, before anything is created that would
// need its place.
func (s *signup) refuseOverwrite(store *contexts.Store) error {
	if s.force {
		return nil
	}
	if store.Exists(s.org) {
		return term.Failf(
			fmt.Sprintf("remove it with `covey context delete %s`, or replace it with --force", s.org),
			"a context named %q exists", s.org)
	}
	return refuseExisting(s.credsOut)
}

func refuseExisting(path string) error {
	if path == "" {
		return nil
	}
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		return term.Failf("choose another path, or replace it with --force", "%s exists", path)
	}
	return nil
}

// keep writes what the answer brought. A failure here names what is lost.
func (s *signup) keep(store *contexts.Store, operator *contexts.Context, place *reserved, resp *apiv1.SignUpResponse) error {
	account, user := resp.GetAccount().GetName(), resp.GetUser().GetName()
	path := s.credsOut
	if path == "" {
		path = credsPath(store, user)
	}
	path, err := place.write(path, resp.GetCredsFile(), s.force)
	if err != nil {
		return term.Partialf("the organization exists; issue another with `covey creds issue` once the cause is gone",
			"write the credentials file: %w", err)
	}
	c := &contexts.Context{
		Name: s.org, Role: contexts.RoleOwner, Installation: operator.Installation,
		APIAddr: operator.APIAddr, HTTPURL: operator.HTTPURL, NATSURL: operator.NATSURL, CA: operator.CA,
		APIKey:       contexts.NewAPIKey(resp.GetApiKey()),
		Organization: lastSegment(resp.GetOrganization().GetName()), Account: lastSegment(account), User: lastSegment(user),
		CredsFile: path,
	}
	if err := store.Put(c); err != nil {
		return term.Partialf("the organization exists and its owner key is lost; sign up under another name once the cause is gone",
			"keep the owner's key: %w", err)
	}
	if err := store.Use(c.Name); err != nil {
		return term.Partialf("select it with `covey context use "+c.Name+"`", "select the new context: %w", err)
	}
	return s.report(c, resp)
}

func (s *signup) report(c *contexts.Context, resp *apiv1.SignUpResponse) error {
	if s.app.streams.JSON {
		return s.app.streams.PrintJSON(struct {
			Organization     string `json:"organization"`
			Account          string `json:"account"`
			AccountPublicKey string `json:"account_public_key"`
			User             string `json:"user"`
			CredsFile        string `json:"creds_file"`
			Context          string `json:"context"`
		}{
			resp.GetOrganization().GetName(), resp.GetAccount().GetName(), resp.GetAccount().GetPublicKey(),
			resp.GetUser().GetName(), c.CredsFile, c.Name,
		})
	}
	err := s.app.streams.Describe(
		term.Pair{Name: "organization", Value: resp.GetOrganization().GetName()},
		term.Pair{Name: "account", Value: resp.GetAccount().GetName()},
		term.Pair{Name: "account key", Value: resp.GetAccount().GetPublicKey()},
		term.Pair{Name: "user", Value: resp.GetUser().GetName()},
		term.Pair{Name: "credentials", Value: c.CredsFile},
		term.Pair{Name: "context", Value: c.Name + " (selected)"})
	s.app.streams.Sayf("\nNext: nats --server %s --creds %s sub '>'\n   or: covey sub '>'", c.NATSURL, c.CredsFile)
	return err
}
