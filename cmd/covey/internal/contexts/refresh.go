package contexts

import "errors"

// Endpoints is where an installation listens.
type Endpoints struct{ APIAddr, HTTPURL, NATSURL string }

// Refresh gives every context of an installation its endpoints of today; keys
// and names stay as they are.
func (s *Store) Refresh(installation string, at Endpoints) error {
	if installation == "" {
		return nil
	}
	all, err := s.List()
	problems := []error{err}
	for _, c := range all {
		if c.Installation != installation {
			continue
		}
		c.APIAddr, c.HTTPURL, c.NATSURL = at.APIAddr, at.HTTPURL, at.NATSURL
		problems = append(problems, s.Put(c))
	}
	return errors.Join(problems...)
}

// Operator returns the operator context of an installation, or ErrNotFound.
func (s *Store) Operator(installation string) (*Context, error) {
	all, err := s.List()
	for _, c := range all {
		if c.IsOperator() && c.Installation == installation {
			return c, nil
		}
	}
	if err != nil {
		return nil, err
	}
	return nil, ErrNotFound
}
