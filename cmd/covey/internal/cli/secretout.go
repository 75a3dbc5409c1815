package cli

import "github.com/spf13/cobra"

// secretOut is where a secret goes that is shown once: to a file, or to who asked.
type secretOut struct {
	out   string
	force bool
}

func (o *secretOut) flags(cmd *cobra.Command, what string) {
	cmd.Flags().StringVar(&o.out, "out", "", "write the "+what+" to this file, 0600, instead of printing it")
	cmd.Flags().BoolVar(&o.force, "force", false, "replace a file that exists")
}

// prepare makes sure of the file before there is a secret that could be lost.
func (o *secretOut) prepare(a *App) (*reserved, error) {
	if o.out == "" {
		return &reserved{}, nil
	}
	if !o.force {
		if err := refuseExisting(o.out); err != nil {
			return nil, err
		}
	}
	store, err := a.Store()
	if err != nil {
		return nil, err
	}
	return reserve(store, o.out)
}

// put writes the secret if it goes to a file, and returns that file, else what to
// print.
func (o *secretOut) put(place *reserved, secret string) (path, print string, err error) {
	if o.out == "" {
		return "", secret, nil
	}
	path, err = place.write(o.out, secret+"\n", o.force)
	return path, "", err
}
