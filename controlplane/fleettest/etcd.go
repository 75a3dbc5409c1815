package fleettest

import (
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3client"
)

// Etcd starts an etcd server of its own for one test and returns a client.
func Etcd(tb testing.TB) *clientv3.Client {
	tb.Helper()
	dir, err := os.MkdirTemp("", "fl") //nolint:usetesting // short: a unix socket's path has 108 bytes
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			tb.Error(err)
		}
	})
	cfg := embed.NewConfig()
	cfg.Dir = filepath.Join(dir, "d")
	peer := url.URL{Scheme: "unix", Path: filepath.Join(dir, "p")}
	client := url.URL{Scheme: "unix", Path: filepath.Join(dir, "c")}
	cfg.ListenPeerUrls, cfg.AdvertisePeerUrls = []url.URL{peer}, []url.URL{peer}
	cfg.ListenClientUrls, cfg.AdvertiseClientUrls = []url.URL{client}, []url.URL{client}
	cfg.InitialCluster = cfg.InitialClusterFromName(cfg.Name)
	cfg.UnsafeNoFsync = true
	cfg.LogLevel, cfg.LogOutputs = "fatal", []string{os.DevNull}
	cfg.TickMs, cfg.ElectionMs = 10, 100
	server, err := embed.StartEtcd(cfg)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(server.Close)
	select {
	case <-server.Server.ReadyNotify():
	case <-time.After(30 * time.Second):
		tb.Fatal("etcd does not become ready")
	}
	etcd := v3client.New(server.Server)
	tb.Cleanup(func() { _ = etcd.Close() }) // its context is cancelled: that is the error
	return etcd
}
