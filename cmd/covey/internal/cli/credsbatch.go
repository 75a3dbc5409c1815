package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/coveymq/covey/cmd/covey/internal/contexts"
	"github.com/coveymq/covey/cmd/covey/internal/term"
	apiv1 "github.com/coveymq/covey/proto/covey/api/v1"
)

// As many as the API takes in one call.
const (
	issuedAtOnce  = 30
	revokedAtOnce = 50
)

// several are the names that a command is about: what was typed, or what is in a
// file.
func (a *App) several(args []string, from, kind string) ([]string, error) {
	switch {
	case from != "" && len(args) > 0:
		return nil, term.Usagef("give one of both", "%s and --from FILE are both given", kind)
	case from != "":
		return a.readNames(from)
	}
	for i, one := range args {
		if slices.Contains(args[:i], one) {
			return nil, term.Usagef("leave one of them out", "%q is there twice", one)
		}
	}
	return args, nil
}

// oneAccount is the account of all names.
func oneAccount(names []string) (string, error) {
	account := func(name string) string { return strings.Join(strings.SplitN(name, "/", 5)[:4], "/") }
	first := account(names[0])
	for _, n := range names[1:] {
		if account(n) != first {
			return "", term.Usagef("run the command once for each account", "%s and %s are of two accounts", names[0], n)
		}
	}
	return first, nil
}

// fullNames makes names of all ids, none of them twice.
func fullNames(ids []string, full func(string) (string, error)) ([]string, error) {
	names := make([]string, 0, len(ids))
	for _, id := range ids {
		n, err := full(id)
		if err != nil {
			return nil, err
		}
		if slices.Contains(names, n) {
			return nil, term.Usagef("leave one of them out", "%s is there twice", n)
		}
		names = append(names, n)
	}
	return names, nil
}

// oneTry refuses a dry run that takes several calls: each would look at its own
// part only, as if the others were not there.
func (a *App) oneTry(n, atOnce int) error {
	if a.dry && n > atOnce {
		return term.Usagef("try the parts by themselves", "--%s looks at %d at once, and there are %d", dryRunFlag, atOnce, n)
	}
	return nil
}

// afterParts says of a failure what was done before it.
func afterParts(err error, done, of int, what, last string) error {
	if err == nil || done == 0 {
		return err
	}
	return term.Partialf("leave those out, and run it again with the rest",
		"those up to %s are %s (%d of %d), and none after it: %w", last, what, done, of, err)
}

// issueAll issues a credential to each of several users and writes their files: in
// one folder, which takes them all before the first is issued.
func (i *issue) issueAll(ctx context.Context, s *session, users []string, dir string) error {
	if i.publicKey != "" || i.out != "" {
		return term.Usagef("give --out-dir, or one user", "--public-key and --out are for one credential")
	}
	parent, err := oneAccount(users)
	if err != nil {
		return err
	}
	if err := i.app.oneTry(len(users), issuedAtOnce); err != nil {
		return err
	}
	store, err := i.app.Store()
	if err != nil {
		return err
	}
	var done []issuedFile
	for part := range slices.Chunk(users, issuedAtOnce) {
		made, err := i.issueSome(ctx, s, store, parent, dir, part)
		done = append(done, made...)
		if i.app.dry && err == nil {
			return i.app.show(i.app.preview, term.Pair{Name: "would issue", Value: fmt.Sprint(len(part), " credentials")})
		}
		if err != nil {
			if len(done) == 0 {
				return err
			}
			return errors.Join(i.reportAll(done), afterParts(err, len(done), len(users), "issued", lastSegment(users[len(done)-1])))
		}
	}
	return i.reportAll(done)
}

// issuedFile is a credential and where it was written.
type issuedFile struct {
	credential *apiv1.Credential
	path       string
}

func (i *issue) issueSome(ctx context.Context, s *session, store *contexts.Store, parent, dir string, users []string) (done []issuedFile, err error) {
	req := &apiv1.BatchIssueCredentialsRequest{Parent: parent, RequestId: uuid.NewString()}
	paths, places := make([]string, len(users)), make([]*reserved, 0, len(users))
	defer func() {
		for _, p := range places {
			p.discard()
		}
	}()
	for n, user := range users {
		req.Requests = append(req.Requests, &apiv1.IssueCredentialRequest{Parent: user, TtlSeconds: int64(i.ttl / time.Second)})
		paths[n] = credsPath(store, user)
		if dir != "" {
			paths[n] = filepath.Join(dir, filepath.Base(paths[n]))
		}
		if !i.force {
			if err := refuseExisting(paths[n]); err != nil {
				return nil, err
			}
		}
		if i.app.dry {
			continue
		}
		if err := os.MkdirAll(filepath.Dir(paths[n]), 0o700); err != nil {
			return nil, term.Failf("give another place with --out-dir", "make the folder of the credentials files: %w", err)
		}
		place, err := reserve(store, paths[n])
		if err != nil {
			return nil, err
		}
		places = append(places, place)
	}
	resp, err := apiv1.NewCredentialServiceClient(s).BatchIssueCredentials(ctx, req)
	if err != nil || i.app.dry {
		return nil, err
	}
	if len(resp.GetIssued()) != len(users) {
		return nil, term.Partialf("look with `covey creds list USER`, and revoke what is of no use", "%d credentials were issued, not %d", len(resp.GetIssued()), len(users))
	}
	for n, one := range resp.GetIssued() {
		written, err := places[n].write(paths[n], one.GetCredsFile(), i.force)
		if err != nil {
			return done, term.Partialf(
				"it is of no use now, nor are those after it: `covey creds revoke "+one.GetCredential().GetName()+"` and so on, and issue others once the cause is gone",
				"write the credentials file of %s: %w", lastSegment(users[n]), err)
		}
		done = append(done, issuedFile{one.GetCredential(), written})
	}
	return done, nil
}

func (i *issue) reportAll(done []issuedFile) error {
	out := i.app.streams
	if out.JSON {
		type row struct {
			Credential any    `json:"credential"`
			CredsFile  string `json:"creds_file"`
		}
		rows := make([]row, 0, len(done))
		for _, d := range done {
			raw, err := messageJSON(d.credential)
			if err != nil {
				return err
			}
			rows = append(rows, row{raw, d.path})
		}
		return out.PrintJSON(map[string]any{"issued": rows})
	}
	rows := make([][]string, 0, len(done))
	for _, d := range done {
		user, id := splitName(d.credential.GetName())
		rows = append(rows, []string{lastSegment(user), id, orElse(stamp(d.credential.GetExpireTime()), "never"), d.path})
	}
	return out.Table([]string{"USER", "CREDENTIAL", "EXPIRES", "FILE"}, rows)
}

// revokeAll revokes several credentials of one account, each part of them whole or
// not at all, and waits for the last.
func (a *App) revokeAll(ctx context.Context, s *session, w *waiting, names []string, reason string) error {
	parent, err := oneAccount(names)
	if err != nil {
		return err
	}
	if err := a.oneTry(len(names), revokedAtOnce); err != nil {
		return err
	}
	all := &apiv1.BatchRevokeCredentialsResponse{}
	for part := range slices.Chunk(names, revokedAtOnce) {
		req := &apiv1.BatchRevokeCredentialsRequest{Parent: parent, Reason: reason, RequestId: uuid.NewString()}
		for _, n := range part {
			req.Requests = append(req.Requests, &apiv1.RevokeCredentialRequest{Name: n})
		}
		resp, callErr := apiv1.NewCredentialServiceClient(s).BatchRevokeCredentials(ctx, req)
		if err = callErr; err != nil {
			break
		}
		all.Credentials = append(all.Credentials, resp.GetCredentials()...)
		all.Operation = resp.GetOperation()
	}
	done := len(all.GetCredentials())
	if a.preview != nil {
		return a.show(all, term.Pair{Name: "would revoke", Value: fmt.Sprint(len(names), " credentials")})
	}
	if done == 0 {
		return err
	}
	err = afterParts(err, done, len(names), "revoked", lastSegment(names[done-1]))
	op, waitErr := w.settle(ctx, a, s, all.GetOperation())
	setOperation(all, op)
	return errors.Join(a.showBatch(all, op, []string{"USER", "CREDENTIAL", "STATE"}, credentialRows(all.GetCredentials())), err, waitErr)
}

func credentialRows(all []*apiv1.Credential) [][]string {
	rows := make([][]string, 0, len(all))
	for _, c := range all {
		user, id := splitName(c.GetName())
		rows = append(rows, []string{lastSegment(user), id, stateWord(c.GetState())})
	}
	return rows
}
