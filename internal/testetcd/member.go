package testetcd

import (
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"os"

	"go.etcd.io/etcd/server/v3/embed"
)

// memberEnv tells a test program that it is to be a member of a cluster.
const memberEnv = "COVEY_TESTETCD_MEMBER"

// memberSpec is what a member's process is told.
type memberSpec struct {
	Name, Dir, Client, Peer, Initial string
	QuotaBytes                       int64
	TLS                              *TLSFiles
	Fsync                            bool
}

// Main makes this process a member of a cluster if it was started as one, and
// does not return then. A TestMain calls it first.
func Main() {
	text := os.Getenv(memberEnv)
	if text == "" {
		return
	}
	if err := serve(text); err != nil {
		fmt.Fprintln(os.Stderr, "etcd member:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

func serve(text string) error {
	var spec memberSpec
	if err := json.Unmarshal([]byte(text), &spec); err != nil {
		return fmt.Errorf("read member: %w", err)
	}
	client, err := url.Parse(spec.Client)
	if err != nil {
		return fmt.Errorf("read client URL: %w", err)
	}
	peer, err := url.Parse(spec.Peer)
	if err != nil {
		return fmt.Errorf("read peer URL: %w", err)
	}
	cfg := embed.NewConfig()
	cfg.Name, cfg.Dir, cfg.InitialCluster = spec.Name, spec.Dir, spec.Initial
	cfg.ListenClientUrls, cfg.AdvertiseClientUrls = []url.URL{*client}, []url.URL{*client}
	cfg.ListenPeerUrls, cfg.AdvertisePeerUrls = []url.URL{*peer}, []url.URL{*peer}
	cfg.TickMs, cfg.ElectionMs = 50, 500
	cfg.UnsafeNoFsync = !spec.Fsync // a killed process loses nothing of it
	cfg.QuotaBackendBytes = spec.QuotaBytes
	cfg.LogLevel, cfg.LogOutputs = "fatal", []string{os.DevNull}
	if spec.TLS != nil {
		cfg.ClientTLSInfo.CertFile, cfg.ClientTLSInfo.KeyFile = spec.TLS.ServerCert, spec.TLS.ServerKey
		cfg.ClientTLSInfo.TrustedCAFile, cfg.ClientTLSInfo.ClientCertAuth = spec.TLS.CA, true
		cfg.PeerTLSInfo.CertFile, cfg.PeerTLSInfo.KeyFile = spec.TLS.ServerCert, spec.TLS.ServerKey
		cfg.PeerTLSInfo.TrustedCAFile, cfg.PeerTLSInfo.ClientCertAuth = spec.TLS.CA, true
	}
	server, err := embed.StartEtcd(cfg)
	if err != nil {
		return fmt.Errorf("start: %w", err)
	}
	// The test program holds the other end of our input: when it is gone, so are we.
	_, _ = io.Copy(io.Discard, os.Stdin)
	server.Close()
	return nil
}
