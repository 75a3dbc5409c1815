package dataplane_test

import (
	"fmt"
	"net"
	"strings"
	"testing"
	"time"
)

// A broker that came with the connection of an account alone, because it was told
// of us for that one, is connected to for all else as soon as somebody tells of it.
func TestWhoCameForOneAccountIsConnectedTo(t *testing.T) {
	b := coveyOn(t, "127.0.0.1:0", 3)
	x, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer x.Close()
	say := func(lines ...string) {
		t.Helper()
		nc, err := net.Dial("tcp", strings.TrimPrefix(b.RouteURL(), "nats-route://"))
		must(t, err)
		t.Cleanup(func() { _ = nc.Close() })
		_, err = nc.Write([]byte(strings.Join(lines, "\r\n") + "\r\n"))
		must(t, err)
	}
	hello := func(id, more string) (connect, info string) {
		return fmt.Sprintf(`CONNECT {"user":"r","pass":"routes-secret","name":%q,"cluster":"east","headers":true}`, id),
			fmt.Sprintf(`INFO {"server_id":%q,"server_name":%q,"cluster":"east","headers":true,"proto":1,"ip":"nats-route://%s/","route_pool_size":3%s}`, id, id, x.Addr(), more)
	}
	connect, info := hello("X", `,"route_account":"$SYS"`)
	say(connect, info)
	eventually(t, "the account's route", func() bool { return len(routez(t, b).Routes) == 1 })
	connect, info = hello("Y", "")
	_, gossip := hello("X", "")
	say(connect, info, gossip)
	must(t, x.(*net.TCPListener).SetDeadline(time.Now().Add(time.Minute)))
	nc, err := x.Accept()
	if err != nil {
		t.Fatalf("nobody connects to the broker that was told of: %v", err)
	}
	_ = nc.Close()
}
