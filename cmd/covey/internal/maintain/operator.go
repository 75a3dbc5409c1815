package maintain

import (
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/coveymq/covey/accounts"
	"github.com/coveymq/covey/cmd/covey/internal/term"
	"github.com/coveymq/covey/controlplane"
)

// operator is what of `covey admin operator` needs no control plane.
func operator(streams *term.Streams) *cobra.Command {
	cmd := &cobra.Command{Use: "operator", Short: "See to the keys that sign accounts"}
	cmd.AddCommand(operatorInit(streams), operatorDetach(streams), operatorSign(streams))
	return cmd
}

func operatorInit(streams *term.Streams) *cobra.Command {
	var flags storeFlags
	var root string
	cmd := &cobra.Command{
		Use: "init", Short: "Make the trust root of an empty store", Args: term.Exactly(),
		Long: `Make the trust root of an empty store before its control plane starts for the first
time: a start makes one by itself, with the root key sealed in the store. With --offline-root the
root key's seed is written to a file that only its owner can read, and nowhere else; take that file
to where it is safe, and keep a copy. The control plane signs accounts with a signing key.

A file that holds a root key already is used: so what was cut off can be repeated.`,
		Example: "  covey admin operator init --data /var/lib/covey --offline-root /media/stick/covey-root.nk",
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := flags.config(streams)
			if err != nil {
				return err
			}
			out, err := controlplane.InitOperator(cmd.Context(), cfg, root)
			if err != nil {
				return err
			}
			if streams.JSON {
				return streams.PrintJSON(map[string]any{
					"operator": out.PublicKey, "signing_key": out.SigningKey, "operator_jwt": out.Operator, "key_file": out.KeyFile, "root_file": root,
				})
			}
			where := "in the store, sealed"
			if root != "" {
				where = root + ", and nowhere else"
			}
			return streams.Describe(
				term.Pair{Name: "operator", Value: out.PublicKey}, term.Pair{Name: "root key", Value: where},
				term.Pair{Name: "signing key", Value: out.SigningKey}, term.Pair{Name: "API key", Value: out.KeyFile})
		},
	}
	cmd.Flags().StringVar(&root, "offline-root", "", "file that the root key's seed goes to, instead of the store")
	flags.add(cmd.Flags())
	flags.custodian(cmd.Flags())
	return cmd
}

func operatorDetach(streams *term.Streams) *cobra.Command {
	var flags storeFlags
	cmd := &cobra.Command{
		Use: "detach-root FILE", Short: "Move the root key's seed out of the store, into a file", Args: term.Exactly("FILE"),
		Long: `Move the root key's seed out of the store, into a file that only its owner can read. There is
no way back into the store. No control plane may run on an etcd in the data directory meanwhile. Backups
from before hold the sealed seed still.`,
		Example: "  covey admin operator detach-root /media/stick/covey-root.nk --data /var/lib/covey",
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg, err := flags.config(streams)
			if err != nil {
				return err
			}
			public, err := controlplane.DetachRoot(cmd.Context(), cfg, args[0])
			if err != nil {
				return err
			}
			if streams.JSON {
				return streams.PrintJSON(map[string]any{"operator": public, "root_file": args[0]})
			}
			return streams.Describe(term.Pair{Name: "operator", Value: public}, term.Pair{Name: "root key", Value: args[0] + ", and nowhere else"})
		},
	}
	flags.add(cmd.Flags())
	flags.custodian(cmd.Flags())
	return cmd
}

func operatorSign(streams *term.Streams) *cobra.Command {
	var root, out string
	var dry bool
	cmd := &cobra.Command{
		Use: "sign REQUEST", Short: "Sign the operator's JWT with its root key, where that is", Args: term.Exactly("REQUEST"),
		Long: `Sign what ` + "`covey admin operator request`" + ` printed. It needs the root key's file and the request,
no network and no store. A request changes the list of signing keys and nothing else; what it changes is told.
REQUEST is a file, or - for standard input.`,
		Example: "  covey admin operator sign request.json --root covey-root.nk --out operator.jwt",
		RunE: func(_ *cobra.Command, args []string) error {
			if root == "" {
				return term.Usagef("give the file that the root key's seed is in", "--root is missing")
			}
			text, err := requestText(streams, args[0])
			if err != nil {
				return err
			}
			seed, err := controlplane.ReadRoot(root)
			if err != nil {
				return err
			}
			signer, err := seed.Signer()
			if err != nil {
				return err
			}
			signed, err := accounts.SignOperatorRequest(text, signer)
			if err != nil {
				return err
			}
			return tellSigned(streams, signed, out, dry)
		},
	}
	cmd.Flags().StringVar(&root, "root", "", "file with the root key's seed")
	cmd.Flags().StringVar(&out, "out", "", "file that the operator's JWT goes to (default: standard output)")
	cmd.Flags().BoolVar(&dry, "dry-run", false, "tell what would be signed, and give nothing away")
	return cmd
}

func requestText(streams *term.Streams, path string) (string, error) {
	var text []byte
	var err error
	if path == "-" {
		text, err = io.ReadAll(io.LimitReader(streams.In, 1<<20))
	} else {
		text, err = os.ReadFile(path)
	}
	if err != nil {
		return "", term.Failf("`covey admin operator request` prints one", "read request: %w", err)
	}
	return string(text), nil
}

func tellSigned(streams *term.Streams, signed accounts.SignedOperator, out string, dry bool) error {
	if dry {
		signed.JWT = ""
	}
	if out != "" && !dry {
		if err := os.WriteFile(out, []byte(signed.JWT+"\n"), 0o644); err != nil { //nolint:gosec // every server gets it
			return fmt.Errorf("write the operator's JWT: %w", err)
		}
	}
	if streams.JSON {
		return streams.PrintJSON(map[string]any{"operator": signed.PublicKey, "added": signed.Added, "removed": signed.Removed, "operator_jwt": signed.JWT})
	}
	streams.Sayf("operator %s: adds %s, removes %s", signed.PublicKey, orNothing(signed.Added), orNothing(signed.Removed))
	if out != "" || dry {
		return nil
	}
	_, err := fmt.Fprintln(streams.Out, signed.JWT)
	return err
}

func orNothing(keys []string) string {
	if len(keys) == 0 {
		return "nothing"
	}
	return strings.Join(keys, " and ")
}
