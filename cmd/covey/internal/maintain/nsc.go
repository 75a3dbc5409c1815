package maintain

import (
	"fmt"
	"log/slog"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/coveymq/covey/accounts"
	"github.com/coveymq/covey/cmd/covey/internal/nsctree"
	"github.com/coveymq/covey/cmd/covey/internal/term"
	"github.com/coveymq/covey/controlplane"
)

// nscImport is one call of `covey admin import nsc`.
type nscImport struct {
	streams *term.Streams
	cfg     storeFlags

	from         nsctree.Source
	organization string
	assign       []string
	accountsOnly bool
	root         controlplane.ForeignRoot
}

func importCommand(streams *term.Streams) *cobra.Command {
	cmd := &cobra.Command{Use: "import", Short: "Take over what other tools have made"}
	cmd.AddCommand(importNSC(streams))
	return cmd
}

func importNSC(streams *term.Streams) *cobra.Command {
	n := &nscImport{streams: streams}
	cmd := &cobra.Command{
		Use: "nsc DIR", Short: "Take over an operator that nsc or `nats auth` keeps", Args: term.Exactly("DIR"),
		Long: `Take over an operator that nsc or ` + "`nats auth`" + ` keeps, with its accounts, users,
signing keys, limits, exports, imports and revocations. Every credential that was
issued stays good, and servers that trust the operator go on as they are.

DIR is a folder with stores and keys in it, a folder of stores, or one operator
in it. The store that it is brought into must be empty; or, with --accounts-only,
have an operator of its own, which then signs the accounts. No control plane may
run on an etcd in the data directory meanwhile. Seeds of users are not read.

The operator's first API key goes to operator.key in the data directory, and the
owner keys of new organizations to owners/.`,
		Example: "  covey admin import nsc ~/.local/share/nats/nsc --data /var/lib/covey --org acme\n" +
			"  covey admin import nsc ~/.local/share/nats/nsc --data /var/lib/covey --org shared --assign BILLING=acme",
		RunE: func(cmd *cobra.Command, args []string) error {
			n.from.Dir = args[0]
			return n.run(cmd)
		},
	}
	f := cmd.Flags()
	f.StringVar(&n.from.Operator, "operator", "", "the operator, if there are several")
	f.StringVar(&n.from.Keys, "keys", "", "where the seeds are (default: keys beside the stores)")
	f.StringVar(&n.organization, "org", "", "organization that accounts go to (default: the operator's name)")
	f.StringArrayVar(&n.assign, "assign", nil, "ACCOUNT=ORGANIZATION: one account goes to another organization")
	f.BoolVar(&n.accountsOnly, "accounts-only", false, "let the operator of the store sign the accounts")
	f.BoolVar(&n.root.OfflineRoot, "offline-root", false, "do not keep the seed of the operator's root key")
	f.BoolVar(&n.root.MakeSigningKey, "make-signing-key", false, "make the operator a signing key, if the seed of none is there")
	n.cfg.add(f)
	n.cfg.custodian(f)
	return cmd
}

func (n *nscImport) run(cmd *cobra.Command) error {
	cfg, err := n.cfg.config(n.streams)
	if err != nil {
		return err
	}
	tree, err := nsctree.Read(n.from)
	if err != nil {
		return err
	}
	in, err := n.takeover(tree)
	if err != nil {
		return err
	}
	out, err := controlplane.TakeOver(cmd.Context(), cfg, in)
	if err != nil {
		return err
	}
	return n.tell(out)
}

// takeover sorts a tree into what the control plane takes.
func (n *nscImport) takeover(tree nsctree.Tree) (controlplane.Takeover, error) {
	operator, err := accounts.ReadOperator(tree.Operator)
	if err != nil {
		return controlplane.Takeover{}, err
	}
	if n.organization == "" {
		n.organization = accounts.OrganizationIDFrom(tree.Name)
	}
	organizations := map[string]string{}
	for _, text := range n.assign {
		account, organization, ok := strings.Cut(text, "=")
		if !ok {
			return controlplane.Takeover{}, term.Usagef("for example --assign BILLING=acme", "--assign %q has no =", text)
		}
		organizations[account] = organization
	}
	var in controlplane.Takeover
	if !n.accountsOnly {
		n.root.Operator, n.root.Seeds = tree.Operator, tree.Seeds
		in.Root = &n.root
	}
	for _, a := range tree.Accounts {
		known, err := accounts.ReadAccount(a.JWT)
		if err != nil {
			return in, fmt.Errorf("account %q: %w", a.Name, err)
		}
		organization, assigned := organizations[a.Name]
		delete(organizations, a.Name)
		if known.Spec.PublicKey == operator.SystemAccount {
			n.root.System = a.JWT
			continue
		}
		if !assigned {
			organization = n.organization
		}
		f := controlplane.ForeignAccount{Organization: organization, JWT: a.JWT, Seeds: tree.Seeds}
		for _, u := range a.Users {
			f.Users = append(f.Users, u.JWT)
		}
		in.Accounts = append(in.Accounts, f)
	}
	for account := range organizations {
		return in, term.Usagef("accounts are named as their folders are", "--assign names the account %q, which is not there", account)
	}
	return in, nil
}

func (n *nscImport) tell(out controlplane.TakenOver) error {
	if out.RootChanged {
		out.Notes = append(out.Notes, "the operator's JWT has changed: give servers the new one before they are to take accounts from here")
	}
	if n.streams.JSON {
		return n.streams.PrintJSON(map[string]any{
			"organizations": out.Organizations, "accounts": out.Accounts, "already_there": out.Known, "users": out.Users, "credentials": out.Credentials,
			"exports": out.Exports, "imports": out.Imports, "names": out.Names, "key_files": out.KeyFiles, "operator_jwt": out.Operator, "notes": out.Notes,
		})
	}
	err := n.streams.Describe(
		term.Pair{Name: "organizations", Value: strconv.Itoa(out.Organizations)},
		term.Pair{Name: "accounts", Value: fmt.Sprintf("%d, and %d that were there already", out.Accounts, out.Known)},
		term.Pair{Name: "users", Value: strconv.Itoa(out.Users)},
		term.Pair{Name: "exports", Value: strconv.Itoa(out.Exports)},
		term.Pair{Name: "imports", Value: strconv.Itoa(out.Imports)},
		term.Pair{Name: "API keys", Value: strings.Join(out.KeyFiles, ", ")})
	for _, note := range out.Notes {
		n.streams.Sayf("note: %s", note)
	}
	return err
}

// logger is for what goes wrong only: the command says the rest.
func logger(streams *term.Streams) *slog.Logger {
	return slog.New(slog.NewTextHandler(streams.Err, &slog.HandlerOptions{Level: slog.LevelWarn}))
}
