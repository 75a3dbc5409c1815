package cli

import (
	"bufio"
	"context"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/coveymq/covey/cmd/covey/internal/term"
	apiv1 "github.com/coveymq/covey/proto/covey/api/v1"
)

const (
	idsBytesMax   = 1 << 20
	usersAtOnce   = 50 // as many as the API takes
	usersFromFile = 10_000
)

// readIDs reads ids, one a line; # begins a comment.
func (a *App) readIDs(path string) ([]string, error) {
	return a.readLines(path, func(id string) bool { return !strings.ContainsAny(id, " \t/") })
}

// readNames reads ids or full names, one a line.
func (a *App) readNames(path string) ([]string, error) {
	return a.readLines(path, func(id string) bool {
		return !strings.ContainsAny(id, " \t") && (isFull(id) || !strings.Contains(id, "/"))
	})
}

func (a *App) readLines(path string, good func(string) bool) (ids []string, err error) {
	in := a.streams.In
	if path != "-" {
		f, err := os.Open(path)
		if err != nil {
			return nil, term.Failf("", "read ids: %w", err)
		}
		defer func() { _ = f.Close() }()
		in = f
	}
	lines := bufio.NewScanner(io.LimitReader(in, idsBytesMax))
	for lines.Scan() {
		text, _, _ := strings.Cut(lines.Text(), "#")
		id := strings.TrimSpace(text)
		switch {
		case id == "":
			continue
		case !good(id):
			return nil, term.Usagef("put one id on each line", "%s: %q is not an id", path, id)
		case slices.Contains(ids, id):
			return nil, term.Usagef("leave one of them out", "%s: %q is there twice", path, id)
		case len(ids) == usersFromFile:
			return nil, term.Usagef("split the file", "%s holds more than %d ids", path, usersFromFile)
		}
		ids = append(ids, id)
	}
	if err := lines.Err(); err != nil {
		return nil, term.Failf("", "read ids: %w", err)
	}
	if len(ids) == 0 {
		return nil, term.Usagef("put one id on each line", "%s holds no id", path)
	}
	return ids, nil
}

// createUsers makes users that are alike, in batches of which each is made whole or
// not at all.
func (a *App) createUsers(ctx context.Context, s *session, parent string, ids []string, like *apiv1.User) error {
	var made []*apiv1.User
	for part := range slices.Chunk(ids, usersAtOnce) {
		req := &apiv1.BatchCreateUsersRequest{Parent: parent, RequestId: uuid.NewString()}
		for _, id := range part {
			req.Users = append(req.Users, &apiv1.NewUser{UserId: id, User: like})
		}
		resp, err := apiv1.NewUserServiceClient(s).BatchCreateUsers(ctx, req)
		if err != nil && len(made) > 0 {
			return term.Partialf("leave those out of the file, and run it again with the rest",
				"users up to %s are made (%d of %d), and none after it: %w", lastSegment(made[len(made)-1].GetName()), len(made), len(ids), err)
		}
		if err != nil {
			return err
		}
		made = append(made, resp.GetUsers()...)
	}
	return showList(a, "users", made, []string{"USER", "ROLE"}, func(u *apiv1.User) []string {
		return []string{lastSegment(u.GetName()), u.GetRole()}
	})
}
