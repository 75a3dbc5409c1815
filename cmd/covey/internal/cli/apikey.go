package cli

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/coveymq/covey/cmd/covey/internal/contexts"
	"github.com/coveymq/covey/cmd/covey/internal/term"
	apiv1 "github.com/coveymq/covey/proto/covey/api/v1"
)

func (a *App) apiKeyCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "apikey", Aliases: []string{"apikeys"}, Short: "Make, rotate and end the API keys of service accounts"}
	in := &scope{}
	cmd.PersistentFlags().StringVar(&in.org, "org", "", "organization (default: the context's)")
	cmd.AddCommand(a.apiKeyCreate(in), a.apiKeyList(in), a.apiKeyGet(in), a.apiKeyRotate(in),
		a.apiKeySwitch(in, "disable", "Refuse a key from the next call on, reversibly"),
		a.apiKeySwitch(in, "enable", "Accept a disabled key again"), a.apiKeyDelete(in))
	return cmd
}

// newKey is the flags of a command that makes a key.
type newKey struct {
	ttl time.Duration
	secretOut
}

func (k *newKey) flags(cmd *cobra.Command) {
	cmd.Flags().DurationVar(&k.ttl, "ttl", 0, "how long the key lives (default 2160h, at most 8784h)")
	k.secretOut.flags(cmd, "key")
}

// prepare checks the flags and makes sure of the place for the secret before
// anything is made.
func (k *newKey) prepare(a *App) (*reserved, error) {
	if k.ttl < 0 || k.ttl%time.Second != 0 {
		return nil, term.Usagef("for example 2160h", "--ttl %s is not a number of whole seconds", k.ttl)
	}
	return k.secretOut.prepare(a)
}

// report prints a new key, or writes it and says where.
func (k *newKey) report(a *App, place *reserved, key *apiv1.APIKey, secret string) error {
	path, secret, err := k.put(place, secret)
	if err != nil {
		return term.Partialf("the key is of no use now: `covey apikey delete "+key.GetName()+"`, and make another once the cause is gone",
			"write the key: %w", err)
	}
	if a.streams.JSON {
		raw, err := messageJSON(key)
		if err != nil {
			return err
		}
		return a.streams.PrintJSON(struct {
			APIKey any    `json:"api_key"`
			File   string `json:"file,omitempty"`
			Secret string `json:"secret,omitempty"`
		}{raw, path, secret})
	}
	if path != "" {
		return a.streams.Describe(append(apiKeyPairs(key), term.Pair{Name: "file", Value: filepath.Clean(path)})...)
	}
	a.streams.Sayf("%s, until %s. This is the only time that it is shown:", key.GetName(), stamp(key.GetExpireTime()))
	if _, err := fmt.Fprintln(a.streams.Out, secret); err != nil {
		return fmt.Errorf("write key: %w", err)
	}
	return nil
}

func (a *App) apiKeyCreate(in *scope) *cobra.Command {
	var k newKey
	var roles []string
	cmd := &cobra.Command{
		Use: "create SERVICE_ACCOUNT", Short: "Make a key and print it, once", Args: term.Exactly("SERVICE_ACCOUNT"),
		Long: `Make a key of a service account and print it, once.

With --role the service account is made first, with that role.`,
		Example: "  covey apikey create ci --role developer@orders --ttl 720h --out ci.key",
		RunE: func(cmd *cobra.Command, args []string) error {
			place, err := k.prepare(a)
			if err != nil {
				return err
			}
			defer place.discard()
			return a.withServiceAccount(*in, args[0], func(s *session, in scope, name string) error {
				if len(roles) > 0 {
					if _, err := createServiceAccount(cmd.Context(), s, in, name, "", roles); err != nil {
						return err
					}
				}
				resp, err := apiv1.NewAPIKeyServiceClient(s).CreateAPIKey(cmd.Context(), &apiv1.CreateAPIKeyRequest{
					Parent: name, TtlSeconds: int64(k.ttl / time.Second), RequestId: uuid.NewString(),
				})
				if err != nil {
					return err
				}
				return k.report(a, place, resp.GetApiKey(), resp.GetSecret())
			})
		},
	}
	k.flags(cmd)
	cmd.Flags().StringArrayVar(&roles, "role", nil, "make the service account with this role: "+roleUsage)
	return cmd
}

func (a *App) apiKeyList(in *scope) *cobra.Command {
	return &cobra.Command{
		Use: "list [SERVICE_ACCOUNT]", Short: "List keys, of one service account or of all", Args: term.Between(0, "SERVICE_ACCOUNT"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withServiceAccount(*in, strings.Join(append(args, "-")[:1], ""), func(s *session, _ scope, parent string) error {
				client := apiv1.NewAPIKeyServiceClient(s)
				all, err := listAll(cmd.Context(), func(ctx context.Context, token string) (*apiv1.ListAPIKeysResponse, error) {
					return client.ListAPIKeys(ctx, &apiv1.ListAPIKeysRequest{Parent: parent, PageSize: pageSize, PageToken: token})
				}, (*apiv1.ListAPIKeysResponse).GetApiKeys)
				if err != nil {
					return err
				}
				return showList(a, "api_keys", all, []string{"KEY", "SERVICE ACCOUNT", "STATE", "EXPIRES", "LAST USED"}, func(k *apiv1.APIKey) []string {
					owner, id := splitName(k.GetName())
					return []string{id, lastSegment(owner), stateWord(k.GetState()), stamp(k.GetExpireTime()), orElse(stamp(k.GetLastUsedTime()), "never")}
				})
			})
		},
	}
}

func (a *App) apiKeyRotate(in *scope) *cobra.Command {
	var k newKey
	var overlap time.Duration
	cmd := &cobra.Command{
		Use: "rotate [KEY]", Short: "Make a key's successor; the old one is accepted for the overlap", Args: term.Between(0, "KEY"),
		Long: `Make a key's successor and print it, once. The old one is accepted for the
overlap still. Without KEY it is the context's own, and the context gets the
new one instead of its being printed.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			seconds := int64(overlap / time.Second)
			req := &apiv1.RotateAPIKeyRequest{OverlapSeconds: &seconds, TtlSeconds: int64(k.ttl / time.Second), RequestId: uuid.NewString()}
			if len(args) == 0 {
				return a.rotateOwn(cmd.Context(), *in, req, &k)
			}
			place, err := k.prepare(a)
			if err != nil {
				return err
			}
			defer place.discard()
			return a.withKey(cmd.Context(), *in, args[0], func(s *session, name string) error {
				req.Name = name
				resp, err := apiv1.NewAPIKeyServiceClient(s).RotateAPIKey(cmd.Context(), req)
				if err != nil {
					return err
				}
				if a.dry {
					return a.showRotation(resp)
				}
				a.streams.Sayf("The old key is accepted until %s.", stamp(resp.GetRotated().GetExpireTime()))
				return k.report(a, place, resp.GetApiKey(), resp.GetSecret())
			})
		},
	}
	k.flags(cmd)
	cmd.Flags().DurationVar(&overlap, "overlap", 24*time.Hour, "how long the old key is accepted still; 0 ends it at once")
	return cmd
}

// rotateOwn rotates the context's key and puts the new one in its place.
func (a *App) rotateOwn(ctx context.Context, in scope, req *apiv1.RotateAPIKeyRequest, k *newKey) error {
	if k.out != "" {
		return term.Usagef("name the key to get its successor as a file", "the context's own key goes into the context, not to --out")
	}
	if _, err := k.prepare(a); err != nil {
		return err
	}
	c, err := a.Context()
	if err != nil {
		return err
	}
	id := keyID(c.APIKey)
	if c.IsOperator() || id == "" {
		return term.Usagef("name a key: `covey apikey list`", "the context %q has no key of a service account", c.Name)
	}
	store, err := a.Store()
	if err != nil {
		return err
	}
	if err := store.Put(c); err != nil { // the answer's secret exists once: the place for it is made sure of first
		return term.Failf("nothing was rotated", "write the context: %w", err)
	}
	return a.withKey(ctx, in, id, func(s *session, name string) error {
		req.Name = name
		resp, err := apiv1.NewAPIKeyServiceClient(s).RotateAPIKey(ctx, req)
		if err != nil {
			return err
		}
		if a.dry {
			return a.showRotation(resp)
		}
		c.APIKey = contexts.NewAPIKey(resp.GetSecret())
		if err := store.Put(c); err != nil {
			return term.Partialf("the new key is lost; rotate once more before "+stamp(resp.GetRotated().GetExpireTime()), "keep the new key: %w", err)
		}
		a.streams.Sayf("The context %s has the new key. The old one is accepted until %s.", c.Name, stamp(resp.GetRotated().GetExpireTime()))
		return a.show(resp.GetApiKey(), apiKeyPairs(resp.GetApiKey())...)
	})
}

// showRotation shows what a rotation would do.
func (a *App) showRotation(r *apiv1.RotateAPIKeyResponse) error {
	return a.show(r, term.Pair{Name: "key", Value: r.GetRotated().GetName()},
		term.Pair{Name: "would be accepted until", Value: stamp(r.GetRotated().GetExpireTime())})
}

// keyID is the public part of a key: covey_<id>_<secret>.
func keyID(k contexts.APIKey) string {
	parts := strings.SplitN(k.Reveal(), "_", 4)
	if len(parts) != 4 || parts[0] != "covey" {
		return ""
	}
	return parts[1] + "_" + parts[2]
}

// withKey runs f with the full name of a key, looking a short id up among the
// organization's.
func (a *App) withKey(ctx context.Context, flags scope, id string, f func(*session, string) error) error {
	return a.withServiceAccount(flags, "-", func(s *session, in scope, parent string) error {
		if isFull(id) {
			name, err := fullName(id, segAPIKeys, "", "API key")
			if err != nil {
				return err
			}
			return f(s, name)
		}
		client := apiv1.NewAPIKeyServiceClient(s)
		all, err := listAll(ctx, func(ctx context.Context, token string) (*apiv1.ListAPIKeysResponse, error) {
			return client.ListAPIKeys(ctx, &apiv1.ListAPIKeysRequest{Parent: parent, PageSize: pageSize, PageToken: token})
		}, (*apiv1.ListAPIKeysResponse).GetApiKeys)
		if err != nil {
			return err
		}
		for _, k := range all {
			if lastSegment(k.GetName()) == id {
				return f(s, k.GetName())
			}
		}
		return &term.Fault{Code: term.ExitNotFound, What: fmt.Sprintf("%s has no API key %q", in.org, id), Next: "see `covey apikey list`"}
	})
}

func (a *App) apiKeySwitch(in *scope, verb, short string) *cobra.Command {
	return &cobra.Command{
		Use: verb + " KEY", Short: short, Args: term.Exactly("KEY"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withKey(cmd.Context(), *in, args[0], func(s *session, name string) error {
				client := apiv1.NewAPIKeyServiceClient(s)
				var resp interface{ GetApiKey() *apiv1.APIKey }
				var err error
				if verb == "disable" {
					resp, err = client.DisableAPIKey(cmd.Context(), &apiv1.DisableAPIKeyRequest{Name: name, RequestId: uuid.NewString()})
				} else {
					resp, err = client.EnableAPIKey(cmd.Context(), &apiv1.EnableAPIKeyRequest{Name: name, RequestId: uuid.NewString()})
				}
				if err != nil {
					return err
				}
				return a.show(resp.GetApiKey(), apiKeyPairs(resp.GetApiKey())...)
			})
		},
	}
}

func (a *App) apiKeyDelete(in *scope) *cobra.Command {
	return &cobra.Command{
		Use: "delete KEY", Short: "End a key for good", Args: term.Exactly("KEY"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withKey(cmd.Context(), *in, args[0], func(s *session, name string) error {
				resp, err := apiv1.NewAPIKeyServiceClient(s).DeleteAPIKey(cmd.Context(), &apiv1.DeleteAPIKeyRequest{Name: name, RequestId: uuid.NewString()})
				if err != nil {
					return err
				}
				return a.show(resp, deletedPairs(name, nil)...)
			})
		},
	}
}

func apiKeyPairs(k *apiv1.APIKey) []term.Pair {
	return []term.Pair{
		{Name: "key", Value: k.GetName()},
		{Name: "state", Value: stateWord(k.GetState())},
		{Name: "expires", Value: stamp(k.GetExpireTime())},
		{Name: "last used", Value: stamp(k.GetLastUsedTime())},
	}
}
