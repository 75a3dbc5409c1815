package stock

import (
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
)

// What a server does that wants a certificate arrives in one of several ways.
func TestTheStaffReadsWhatToDoAboutTLS(t *testing.T) {
	for want, all := range map[string][]error{
		"--tls-cert": {
			&net.OpError{Op: "remote error", Err: errors.New("tls: certificate required")},
			fmt.Errorf("%w: connection closed by remote after TLS handshake: %w", nats.ErrTLS, io.EOF),
		},
		"offers no TLS": {nats.ErrSecureConnWanted},
	} {
		for _, err := range all {
			if got := unconnected(err); !strings.Contains(got.Error(), want) || !errors.Is(got, err) {
				t.Errorf("of %v it says %v", err, got)
			}
		}
	}
	for _, err := range []error{nats.ErrNoServers, nats.ErrAuthorization, &net.OpError{Op: "dial", Err: io.EOF}} {
		if got := unconnected(err); advice(err) != "" || got.Error() != "connect: "+err.Error() {
			t.Errorf("of %v, which has to do with no TLS, it says %v", err, got)
		}
	}
}
