package controlplane

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/coveymq/covey/internal/embedetcd"
	"github.com/coveymq/covey/internal/errs"
	"github.com/coveymq/covey/internal/etcdclient"
)

// etcd is the store's etcd: our own in this process, or one elsewhere.
type etcd struct {
	client *clientv3.Client
	own    *embedetcd.Server // nil when it is elsewhere
}

func openEtcd(ctx context.Context, cfg Config, dir *dataDir) (*etcd, error) {
	if len(cfg.Etcd.Endpoints) > 0 {
		return dialEtcd(ctx, cfg.Etcd)
	}
	own, err := embedetcd.Start(ctx, embedetcd.Config{Dir: dir.join("etcd"), Logger: cfg.Logger})
	if err != nil {
		return nil, err
	}
	return &etcd{client: own.Client(), own: own}, nil
}

func dialEtcd(ctx context.Context, cfg EtcdConfig) (*etcd, error) {
	secure, err := etcdTLS(cfg)
	if err != nil {
		return nil, err
	}
	client, err := etcdclient.Dial(ctx, etcdclient.Config{
		Endpoints: cfg.Endpoints, TLS: secure, User: cfg.User, Password: cfg.Password.Reveal(),
	})
	if err != nil {
		return nil, err
	}
	return &etcd{client: client}, nil
}

func etcdTLS(cfg EtcdConfig) (*tls.Config, error) {
	if cfg.CAFile == "" && cfg.CertFile == "" {
		return nil, nil //nolint:nilnil // etcd without TLS is the operator's choice
	}
	out := &tls.Config{MinVersion: tls.VersionTLS12}
	if cfg.CAFile != "" {
		pem, err := os.ReadFile(cfg.CAFile)
		if err != nil {
			return nil, fmt.Errorf("read etcd CA: %w", err)
		}
		out.RootCAs = x509.NewCertPool()
		if !out.RootCAs.AppendCertsFromPEM(pem) {
			return nil, errs.New(errs.Invalid, "TLS_UNREADABLE", "%s holds no certificate", cfg.CAFile)
		}
	}
	if cfg.CertFile != "" {
		cert, err := tls.LoadX509KeyPair(cfg.CertFile, cfg.KeyFile)
		if err != nil {
			return nil, fmt.Errorf("read etcd client certificate: %w", err)
		}
		out.Certificates = []tls.Certificate{cert}
	}
	return out, nil
}

// stopped is closed when our own etcd has ended; nil, which blocks for ever,
// for one elsewhere.
func (e *etcd) stopped() <-chan struct{} {
	if e.own == nil {
		return nil
	}
	return e.own.Stopped()
}

// Close ends our own etcd, or the connection to one elsewhere.
func (e *etcd) Close() error {
	if e.own != nil {
		return e.own.Close()
	}
	if err := e.client.Close(); err != nil && !errors.Is(err, context.Canceled) {
		return fmt.Errorf("close etcd client: %w", err)
	}
	return nil
}
