package transform

import (
	"errors"
	"fmt"
)

// Errors of New, in nats-server's words.
var (
	// ErrSubject is a source or destination that is no subject, or two that do
	// not fit.
	ErrSubject = errors.New("invalid subject")
	// ErrDestination is what all the others are, too.
	ErrDestination = errors.New("invalid mapping destination")

	errTransform    = fmt.Errorf("%w: invalid transform", ErrDestination)
	errFunction     = fmt.Errorf("%w: unknown function", ErrDestination)
	errRange        = fmt.Errorf("%w: wildcard index out of range", ErrDestination)
	errFewArgs      = fmt.Errorf("%w: not enough arguments passed to the function", ErrDestination)
	errManyArgs     = fmt.Errorf("%w: too many arguments passed to the function", ErrDestination)
	errArg          = fmt.Errorf("%w: function argument is invalid or in the wrong format", ErrDestination)
	errAllWildcards = fmt.Errorf("%w: not using all of the token wildcard(s)", ErrDestination)
	errIrreversible = fmt.Errorf("%w: the only mapping function allowed for import transforms is {{Wildcard()}}", ErrDestination)
)

// at says in which token an error is.
func at(err error, token string) error {
	if token == "" {
		return err
	}
	return fmt.Errorf("%w in %s", err, token)
}
