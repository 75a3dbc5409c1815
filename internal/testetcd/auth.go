package testetcd

import (
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// root is etcd's own name for who may do everything.
const root = "root"

// protect turns authentication on, with root and with the user of the options,
// who may do what the documentation asks for and nothing else.
func (c *Cluster) protect(tb testing.TB) {
	tb.Helper()
	o, ctx := c.options, tb.Context()
	client := c.Client(tb)
	steps := []func() error{
		func() error { return second(client.UserAdd(ctx, root, o.Password)) },
		func() error { return second(client.RoleAdd(ctx, root)) },
		func() error { return second(client.UserGrantRole(ctx, root, root)) },
		func() error { return second(client.UserAdd(ctx, o.User, o.Password)) },
		func() error { return second(client.RoleAdd(ctx, o.User)) },
		func() error {
			return second(client.RoleGrantPermission(ctx, o.User, "/covey/", clientv3.GetPrefixRangeEnd("/covey/"), clientv3.PermissionType(clientv3.PermReadWrite)))
		},
		func() error { return second(client.UserGrantRole(ctx, o.User, o.User)) },
		func() error { return second(client.AuthEnable(ctx)) },
	}
	for _, step := range steps {
		if err := step(); err != nil {
			tb.Fatalf("turn authentication on: %v", err)
		}
	}
	c.protected = true
}

func second[T any](_ T, err error) error { return err }
