package store

// Root is the prefix of all keys.
const Root = root

// Pack and Unpack are what records go through on their way to etcd and back.
var (
	Pack   = pack
	Unpack = unpack
)

// Dictionary is what records are packed with.
func Dictionary() []byte { return dictionary1 }
