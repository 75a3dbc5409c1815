package term

import "github.com/spf13/cobra"

// Exactly wants the named arguments, no more and no less.
func Exactly(names ...string) cobra.PositionalArgs { return Between(len(names), names...) }

// Between wants at least minimum of the named arguments.
func Between(minimum int, names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		next := "usage: " + cmd.UseLine()
		if len(args) < minimum {
			return Usagef(next, "%s is missing", names[len(args)])
		}
		if len(args) > len(names) {
			return Usagef(next, "unexpected argument %q", args[len(names)])
		}
		return nil
	}
}
