package embedetcd

import (
	"context"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// localReads reads without asking for a quorum, which with one member tells
// nothing new: a write is answered only when it can be read. Etcd would have each
// such question wait until the log is next on disk.
type localReads struct{ clientv3.KV }

// Get reads what is there.
func (l localReads) Get(ctx context.Context, key string, opts ...clientv3.OpOption) (*clientv3.GetResponse, error) {
	return l.KV.Get(ctx, key, append(opts, clientv3.WithSerializable())...)
}
