package route

// TracePeer tells of the link and its peer in traces of messages, and whether the
// peer goes on with them.
func (l *link) TracePeer() (id uint64, name string, traces bool) {
	return l.id, l.remote.Name, l.remote.Proto >= protoTracing
}
