package cli

import (
	"time"

	"github.com/spf13/cobra"

	"github.com/coveymq/covey/cmd/covey/internal/term"
)

// retention is how long what ends can be undeleted; the API's own default unless the
// flag says otherwise.
type retention struct{ value time.Duration }

func (r *retention) flag(cmd *cobra.Command, byDefault string) {
	cmd.Flags().DurationVar(&r.value, "retention", 0, "how long it can be undeleted (default "+byDefault+", from 1h to 2160h)")
}

// seconds is what the flag says; nil if it was not given.
func (r *retention) seconds(cmd *cobra.Command) (seconds *int64, err error) {
	if !cmd.Flags().Changed("retention") {
		return seconds, nil
	}
	if r.value%time.Second != 0 {
		return nil, term.Usagef("for example 168h", "--retention %s is not a number of whole seconds", r.value)
	}
	n := int64(r.value / time.Second)
	return &n, nil
}
