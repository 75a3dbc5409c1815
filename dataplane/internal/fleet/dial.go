package fleet

import (
	"fmt"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/resolver"
	"google.golang.org/grpc/resolver/manual"
)

// fromAnywhere has each broker begin at an address of its own choice, so that
// they spread over the control planes.
const fromAnywhere = `{"loadBalancingConfig":[{"pick_first":{"shuffleAddressList":true}}]}`

// dial connects to one of the control planes: addrs is host:port, or several of
// them with commas between. All calls go to the same one; when it is away, to
// the next that answers.
func dial(addrs string, secure credentials.TransportCredentials, more ...grpc.DialOption) (*grpc.ClientConn, error) {
	target, options := addrs, append(more, grpc.WithTransportCredentials(secure))
	if all := strings.Split(addrs, ","); len(all) > 1 {
		list := manual.NewBuilderWithScheme("controlplanes")
		var state resolver.State
		for _, addr := range all {
			state.Addresses = append(state.Addresses, resolver.Address{Addr: strings.TrimSpace(addr)})
		}
		list.InitialState(state)
		target = list.Scheme() + ":///any"
		options = append(options, grpc.WithResolvers(list), grpc.WithDefaultServiceConfig(fromAnywhere))
	}
	conn, err := grpc.NewClient(target, options...)
	if err != nil {
		return nil, fmt.Errorf("dial control plane: %w", err)
	}
	return conn, nil
}
