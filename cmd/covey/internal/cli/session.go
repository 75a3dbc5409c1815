package cli

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/coveymq/covey/cmd/covey/internal/contexts"
	"github.com/coveymq/covey/cmd/covey/internal/term"
)

// session is a connection to the control plane of one context.
type session struct {
	*grpc.ClientConn

	ctx *contexts.Context
}

// dial opens a session. Nothing is sent before the first call.
func (a *App) dial(c *contexts.Context) (*session, error) {
	if c.APIAddr == "" {
		return nil, term.Usagef("see `covey context show "+c.Name+"`", "context %q has no API address", c.Name)
	}
	creds, err := transport(c)
	if err != nil {
		return nil, err
	}
	conn, err := grpc.NewClient("passthrough:///"+c.APIAddr,
		grpc.WithTransportCredentials(creds),
		grpc.WithUserAgent("covey/"+a.env.Version.Number),
		grpc.WithUnaryInterceptor(a.intercept(c.APIKey)),
		grpc.WithStreamInterceptor(interceptStream(c.APIKey)))
	if err != nil {
		return nil, fmt.Errorf("open control plane connection: %w", err)
	}
	return &session{ClientConn: conn, ctx: c}, nil
}

// putText fills a field of a request in, if there is something. A list that does
// not have the field is refused: it would be another one than was asked for.
func putText(method string, m proto.Message, field protoreflect.Name, text string) error {
	r := m.ProtoReflect()
	switch f := r.Descriptor().Fields().ByName(field); {
	case text == "":
	case f != nil:
		r.Set(f, protoreflect.ValueOfString(text))
	case strings.HasPrefix(lastSegment(method), "List"):
		return term.Usagef("leave it out", "this list has no --%s", strings.ReplaceAll(string(field), "_", "-"))
	}
	return nil
}

// intercept adds the key and the deadline to each call, and the filter to
// lists.
func (a *App) intercept(key contexts.APIKey) grpc.UnaryClientInterceptor {
	return func(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn,
		invoke grpc.UnaryInvoker, opts ...grpc.CallOption,
	) error {
		ctx, cancel := context.WithTimeout(ctx, a.timeout)
		defer cancel()
		if m, ok := req.(proto.Message); ok {
			if err := errors.Join(putText(method, m, "filter", a.filter), putText(method, m, "order_by", a.orderBy)); err != nil {
				return err
			}
		}
		if !key.IsZero() {
			ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+key.Reveal())
		}
		if a.dry {
			return a.tryCall(method, req, reply, func() error { return invoke(ctx, method, req, reply, cc, opts...) })
		}
		return invoke(ctx, method, req, reply, cc, opts...)
	}
}

// interceptStream adds the key to each stream. Streams have no deadline.
func interceptStream(key contexts.APIKey) grpc.StreamClientInterceptor {
	return func(ctx context.Context, desc *grpc.StreamDesc, cc *grpc.ClientConn, method string, open grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
		if !key.IsZero() {
			ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+key.Reveal())
		}
		return open(ctx, desc, cc, method, opts...)
	}
}

// transport is TLS, except to this machine without a CA: a key never crosses a
// network in clear.
func transport(c *contexts.Context) (credentials.TransportCredentials, error) {
	if c.CA == "" && isLoopback(c.APIAddr) {
		return insecure.NewCredentials(), nil
	}
	conf := &tls.Config{MinVersion: tls.VersionTLS12}
	if c.CA != "" {
		pem, err := os.ReadFile(c.CA)
		if err != nil {
			return nil, term.Failf("correct the path with `covey context add "+c.Name+" --force --ca FILE`", "read CA: %w", err)
		}
		conf.RootCAs = x509.NewCertPool()
		if !conf.RootCAs.AppendCertsFromPEM(pem) {
			return nil, term.Failf("the file must hold PEM certificates", "no certificate in %s", c.CA)
		}
	}
	return credentials.NewTLS(conf), nil
}

func isLoopback(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return false
	}
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// withSession runs f with a session of the invocation's context.
func (a *App) withSession(f func(*session) error) error {
	c, err := a.Context()
	if err != nil {
		return err
	}
	s, err := a.dial(c)
	if err != nil {
		return err
	}
	defer func() { _ = s.Close() }() // nothing is buffered; its answer came already
	return f(s)
}
