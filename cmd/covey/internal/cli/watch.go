package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/coveymq/covey/cmd/covey/internal/term"
	"github.com/coveymq/covey/internal/lifecycle"
	apiv1 "github.com/coveymq/covey/proto/covey/api/v1"
)

const (
	watchRetryMin = 200 * time.Millisecond
	watchRetryMax = 10 * time.Second
)

func (a *App) watchCommand() *cobra.Command {
	var in scope
	var kinds []string
	var bookmark string
	cmd := &cobra.Command{
		Use: "watch", Short: "Follow the resources of an organization as they change", Args: term.Exactly(),
		Long: `Follow the resources of an organization, or with --account of one account, as
they change: first everything that is there, then every change. Bookmarks are
told on standard error; --bookmark goes on from one. It comes back by itself
when the control plane goes away, and ends with an interrupt.`,
		Example: "  covey watch --kind users --kind credentials\n  covey watch --account orders --json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.withScope(in, func(s *session, scoped scope) error {
				parent, err := scoped.orgName()
				if err == nil && in.account != "" { // the context's account does not narrow it
					parent, err = scoped.accountName(in.account)
				}
				if err != nil {
					return err
				}
				return a.follows(cmd.Context(), s, &apiv1.WatchResourcesRequest{Parent: parent, Kinds: kinds, Bookmark: bookmark})
			})
		},
	}
	f := cmd.Flags()
	f.StringVar(&in.org, "org", "", "organization (default: the context's)")
	f.StringVar(&in.account, "account", "", "only this account")
	f.StringArrayVar(&kinds, "kind", nil, "accounts, users, roles, credentials, exports, imports, serviceAccounts, members, alertPolicies or alerts; repeat for more (default: all that the key may read)")
	f.StringVar(&bookmark, "bookmark", "", "go on from here instead of telling everything")
	return cmd
}

// follows watches until ctx ends, coming back after what passes.
func (a *App) follows(ctx context.Context, s *session, req *apiv1.WatchResourcesRequest) error {
	backoff := lifecycle.Backoff{Min: watchRetryMin, Max: watchRetryMax}
	for {
		before := req.GetBookmark()
		err := a.watchOnce(ctx, s, req)
		if ctx.Err() != nil {
			return nil //nolint:nilerr // an interrupt is how it ends
		}
		if status.Code(err) != codes.Unavailable && !errors.Is(err, io.EOF) {
			return err
		}
		if req.GetBookmark() != before {
			backoff.Reset()
		}
		a.streams.Sayf("the watch was interrupted (%s); going on from bookmark %s", term.AsFault(err).What, orElse(req.GetBookmark(), "none"))
		if backoff.Wait(ctx) != nil {
			return nil //nolint:nilerr // an interrupt, too
		}
	}
}

// watchOnce tells events until the watch ends, and keeps the last bookmark in
// the request.
func (a *App) watchOnce(ctx context.Context, s *session, req *apiv1.WatchResourcesRequest) error {
	stream, err := apiv1.NewWatchServiceClient(s).WatchResources(ctx, req)
	if err != nil {
		return err
	}
	for {
		event, err := stream.Recv()
		if err != nil {
			return err
		}
		switch e := event.GetEvent().(type) {
		case *apiv1.WatchResourcesResponse_Change:
			if err := a.tellChange(e.Change); err != nil {
				return err
			}
		case *apiv1.WatchResourcesResponse_Bookmark:
			if e.Bookmark != req.GetBookmark() {
				a.streams.Sayf("bookmark %s", e.Bookmark)
			}
			req.Bookmark = e.Bookmark
		case *apiv1.WatchResourcesResponse_Reset_:
			a.streams.Sayf("history is gone: what follows is all there is")
		}
	}
}

func (a *App) tellChange(c *apiv1.ResourceChange) error {
	if a.streams.JSON {
		return a.show(c)
	}
	verb := "is there"
	if c.GetDeleted() {
		verb = "is gone"
	}
	if _, err := fmt.Fprintf(a.streams.Out, "%s %s%s\n", term.Clean(c.GetName()), verb, changeState(c)); err != nil {
		return fmt.Errorf("write change: %w", err)
	}
	return nil
}

// changeState says which state a resource is in, if it has any.
func changeState(c proto.Message) string {
	text := ""
	c.ProtoReflect().Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		if f.Message() == nil {
			return true
		}
		if state := f.Message().Fields().ByName("state"); state != nil && state.Enum() != nil {
			if value := state.Enum().Values().ByNumber(v.Message().Get(state).Enum()); value != nil {
				text = ", " + stateWord(word(value.Name()))
			}
		}
		return true
	})
	return text
}

// word is a text that can be asked for itself.
type word string

// String returns it.
func (w word) String() string { return string(w) }
