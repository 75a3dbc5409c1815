package controlplane

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"syscall"

	"github.com/coveymq/covey/internal/errs"
)

// listeners are the control plane's open ports.
type listeners struct{ api, http, fleet, otlp net.Listener }

// listen opens all ports, or none.
func listen(ctx context.Context, cfg Config) (*listeners, error) {
	l := &listeners{}
	if err := l.open(ctx, cfg); err != nil {
		l.close()
		return nil, err
	}
	return l, nil
}

func (l *listeners) open(ctx context.Context, cfg Config) (err error) {
	for _, o := range []struct {
		to         *net.Listener
		what, addr string
	}{{&l.api, "gRPC", cfg.APIAddr}, {&l.http, "HTTP", cfg.HTTPAddr}, {&l.fleet, "fleet", cfg.FleetAddr}, {&l.otlp, "OTLP", cfg.OTLPAddr}} {
		if *o.to, err = (&net.ListenConfig{}).Listen(ctx, "tcp", o.addr); err != nil {
			return explainListen(o.what, o.addr, err)
		}
	}
	if cfg.TLSCertFile == "" {
		return nil
	}
	cert, err := tls.LoadX509KeyPair(cfg.TLSCertFile, cfg.TLSKeyFile)
	if err != nil {
		return errs.New(errs.Invalid, "TLS_UNREADABLE", "the TLS certificate %s with key %s cannot be used", cfg.TLSCertFile, cfg.TLSKeyFile).WithCause(err)
	}
	config := func(protocols ...string) *tls.Config {
		return &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12, NextProtos: protocols}
	}
	l.api = tls.NewListener(l.api, config("h2"))
	l.http = tls.NewListener(l.http, config("http/1.1"))
	return nil
}

func (l *listeners) close() {
	for _, one := range []net.Listener{l.api, l.http, l.fleet, l.otlp} {
		if one != nil {
			_ = one.Close() // closed already when its server closed it
		}
	}
}

func explainListen(what, addr string, err error) error {
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return errs.New(errs.Precondition, "PORT_IN_USE", "the %s address %s is in use", what, addr).
			WithNext("stop what uses it, or choose another port").WithCause(err)
	case errors.Is(err, syscall.EACCES):
		return errs.New(errs.Denied, "PORT_DENIED", "this user may not listen on the %s address %s", what, addr).
			WithNext("choose a port above 1023").WithCause(err)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return errs.New(errs.Invalid, "ADDRESS_UNKNOWN", "the %s address %s is not one of this machine", what, addr).WithCause(err)
	}
	return fmt.Errorf("listen for %s on %s: %w", what, addr, err)
}
