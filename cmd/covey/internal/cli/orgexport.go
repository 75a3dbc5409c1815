package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/coveymq/covey/accounts"
	"github.com/coveymq/covey/cmd/covey/internal/nsctree"
	"github.com/coveymq/covey/cmd/covey/internal/term"
	apiv1 "github.com/coveymq/covey/proto/covey/api/v1"
)

// orgExport is one call of `covey org export`.
type orgExport struct {
	app   *App
	flags scope
	name  string // of the operator
	creds bool

	tree   nsctree.Tree
	signer accounts.Signer
	system string
	notes  []string
	users  int
}

func (a *App) orgExport() *cobra.Command {
	x := &orgExport{app: a}
	cmd := &cobra.Command{
		Use: "export DIR", Short: "Hand everything back: accounts, keys and users, as nsc keeps them", Args: term.Exactly("DIR"),
		Long: `Write all accounts of the organization into a folder as nsc and ` + "`nats auth`" + ` keep
them: claims, the seeds of their keys, and a JWT for every user. They are signed by
a new operator, whose keys are written too, since the one here is not yours. With
nats-server.conf, which is written as well, a stock nats-server takes every
credential that is good here. Nothing changes here.

Seeds of users are not known: whoever has a credentials file keeps it. --creds
issues every user one more, and writes it. It takes an owner's key.`,
		Example: "  covey org export ./exit --org acme\n  nats-server -c ./exit/nats-server.conf",
		RunE:    func(cmd *cobra.Command, args []string) error { return x.run(cmd.Context(), args[0]) },
	}
	f := cmd.Flags()
	f.StringVar(&x.flags.org, "org", "", "organization (default: the context's)")
	f.StringVar(&x.name, "operator-name", "", "name of the new operator (default: the organization's id)")
	f.BoolVar(&x.creds, "creds", false, "issue every user a credential, and write it")
	return cmd
}

func (x *orgExport) run(ctx context.Context, dir string) error {
	conf := filepath.Join(dir, "nats-server.conf")
	if _, err := os.Stat(conf); !errors.Is(err, fs.ErrNotExist) {
		return term.Failf("export to a new folder", "%s is there already", conf)
	}
	return x.app.withScope(x.flags, func(s *session, in scope) error {
		organization, err := in.orgName()
		if err != nil {
			return err
		}
		if x.name == "" {
			x.name = lastSegment(organization)
		}
		if err := x.begin(); err != nil {
			return err
		}
		client := apiv1.NewAccountServiceClient(s)
		all, err := listAll(ctx, func(ctx context.Context, token string) (*apiv1.ListAccountsResponse, error) {
			return client.ListAccounts(ctx, &apiv1.ListAccountsRequest{Parent: organization, PageSize: pageSize, PageToken: token})
		}, (*apiv1.ListAccountsResponse).GetAccounts)
		if err != nil {
			return err
		}
		for _, account := range all {
			if err := x.account(ctx, s, account.GetName()); err != nil {
				return err
			}
		}
		if err := nsctree.Write(dir, x.tree); err != nil {
			return err
		}
		if err := os.WriteFile(conf, []byte(x.conf()), 0o600); err != nil {
			return fmt.Errorf("write configuration: %w", err)
		}
		return x.tell(dir, conf)
	})
}

// begin makes the new operator and its system account.
func (x *orgExport) begin() error {
	x.tree = nsctree.Tree{Name: x.name, Seeds: map[string]accounts.Seed{}}
	root, err := x.key(accounts.NewOperatorKey)
	if err != nil {
		return err
	}
	if x.signer, err = x.key(accounts.NewOperatorKey); err != nil {
		return err
	}
	system, err := x.key(accounts.NewAccountKey)
	if err != nil {
		return err
	}
	x.system = system.PublicKey()
	x.tree.Operator, err = accounts.SignOperator(accounts.OperatorSpec{Name: x.name, SigningKeys: []string{x.signer.PublicKey()}, SystemAccount: x.system}, root)
	if err != nil {
		return err
	}
	text, err := accounts.SignAccount(accounts.AccountSpec{PublicKey: x.system, Name: "SYS"}, x.signer)
	x.tree.Accounts = append(x.tree.Accounts, nsctree.Account{Name: "SYS", JWT: text})
	return err
}

func (x *orgExport) key(make func() (accounts.Seed, error)) (accounts.Signer, error) {
	seed, err := make()
	if err != nil {
		return nil, err
	}
	signer, err := seed.Signer()
	if err == nil {
		x.tree.Seeds[signer.PublicKey()] = seed
	}
	return signer, err
}

// account adds one account to the tree.
func (x *orgExport) account(ctx context.Context, s *session, name string) error {
	client := apiv1.NewAccountServiceClient(s)
	out := nsctree.Account{Name: lastSegment(name)}
	users, err := listAll(ctx, func(ctx context.Context, token string) (*apiv1.ExportAccountResponse, error) {
		resp, err := client.ExportAccount(ctx, &apiv1.ExportAccountRequest{Name: name, PageToken: token, RequestId: uuid.NewString()})
		if err != nil || token != "" {
			return resp, err
		}
		return resp, x.keys(&out, resp)
	}, (*apiv1.ExportAccountResponse).GetUsers)
	if err != nil {
		return err
	}
	for _, u := range users {
		user := nsctree.User{Name: u.GetUserId(), JWT: u.GetJwt()}
		if x.creds {
			if err := x.issue(ctx, s, name, &user); err != nil {
				x.notes = append(x.notes, fmt.Sprintf("%s/users/%s gets no credential: %v", name, user.Name, err))
			}
		}
		if user.JWT == "" {
			x.notes = append(x.notes, fmt.Sprintf("%s/users/%s has no good credential and is left out", name, user.Name))
			continue
		}
		out.Users = append(out.Users, user)
		x.users++
	}
	x.tree.Accounts = append(x.tree.Accounts, out)
	return nil
}

// keys takes an account's claims and keys over.
func (x *orgExport) keys(out *nsctree.Account, resp *apiv1.ExportAccountResponse) (err error) {
	if out.JWT, err = accounts.ResignAccount(resp.GetClaimsJwt(), out.Name, x.signer); err != nil {
		return err
	}
	for _, k := range resp.GetKeys() {
		seed, err := accounts.ParseSeed([]byte(k.GetSeed()))
		if err != nil {
			return err
		}
		x.tree.Seeds[k.GetPublicKey()] = seed
	}
	return nil
}

// issue gives a user one more credential, with a key of its own.
func (x *orgExport) issue(ctx context.Context, s *session, account string, user *nsctree.User) error {
	resp, err := apiv1.NewCredentialServiceClient(s).IssueCredential(ctx, &apiv1.IssueCredentialRequest{
		Parent: account + "/users/" + user.Name, RequestId: uuid.NewString(),
	})
	if err != nil {
		return err
	}
	text, seed, err := accounts.ParseCreds([]byte(resp.GetCredsFile()))
	if err != nil {
		return err
	}
	user.JWT, user.Creds = text, []byte(resp.GetCredsFile())
	x.tree.Seeds[resp.GetCredential().GetPublicKey()] = seed
	return nil
}

// conf is a configuration that a stock nats-server starts with.
func (x *orgExport) conf() string {
	var b strings.Builder
	_, _ = fmt.Fprintf(&b, "# Accounts of the operator %s.\noperator: %s\nsystem_account: %s\nresolver: MEMORY\nresolver_preload: {\n", x.name, x.tree.Operator, x.system)
	for _, a := range x.tree.Accounts {
		key := x.system
		if read, err := accounts.ReadAccount(a.JWT); err == nil {
			key = read.Spec.PublicKey
		}
		_, _ = fmt.Fprintf(&b, "  # %s\n  %s: %s\n", a.Name, key, a.JWT)
	}
	return b.String() + "}\n"
}

func (x *orgExport) tell(dir, conf string) error {
	x.app.streams.Sayf("The seeds in %s are all that it takes to be these accounts: keep the folder as you keep keys.", dir)
	for _, note := range x.notes {
		x.app.streams.Sayf("note: %s", note)
	}
	if x.app.streams.JSON {
		return x.app.streams.PrintJSON(map[string]any{
			"directory": dir, "configuration": conf, "accounts": len(x.tree.Accounts) - 1, "users": x.users, "seeds": len(x.tree.Seeds), "notes": x.notes,
		})
	}
	return x.app.streams.Describe(
		term.Pair{Name: "directory", Value: dir}, term.Pair{Name: "accounts", Value: strconv.Itoa(len(x.tree.Accounts) - 1)},
		term.Pair{Name: "users", Value: strconv.Itoa(x.users)}, term.Pair{Name: "seeds", Value: strconv.Itoa(len(x.tree.Seeds))},
		term.Pair{Name: "start it with", Value: "nats-server -c " + conf})
}
