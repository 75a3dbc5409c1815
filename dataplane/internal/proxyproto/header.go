// Package proxyproto reads the header by which a load balancer says on whose
// behalf it connects: the PROXY protocol, versions 1 and 2. It is pure: it looks
// at bytes that somebody else has read, and knows no sockets.
//
// What is accepted is what nats-server accepts: TCP over IPv4 and IPv6, and
// headers that speak for the balancer itself.
package proxyproto

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
)

// Header is what a header says.
type Header struct {
	// Source is the client; not valid if the balancer speaks for itself, as for a
	// health check.
	Source netip.AddrPort
	// Length is how many bytes the header has. Those behind it are the client's.
	Length int
}

var (
	// ErrMore says that the header is not complete.
	ErrMore = errors.New("the PROXY protocol header is not complete")
	// ErrNone says that there is no header.
	ErrNone = errors.New("there is no PROXY protocol header")

	errInvalid     = errors.New("invalid PROXY protocol header")
	errUnsupported = errors.New("unsupported PROXY protocol feature")
)

const (
	// probe is how many bytes tell whether there is a header, as in nats-server.
	probe = 6

	textPrefix = "PROXY "
	textMax    = 107 // bytes of a version 1 header, with its CRLF

	binaryPrefix = "\r\n\r\n\x00\r\nQUIT\n"
	binaryFixed  = 16 // bytes before the addresses

	// Peek is how many bytes Parse has to be shown at most: what follows the
	// addresses of a version 2 header is skipped without being looked at.
	Peek = 128
)

// Parse reads the header at the beginning of b. With ErrMore it is to be called
// again with more bytes.
func Parse(b []byte) (Header, error) {
	if len(b) < probe {
		return Header{}, ErrMore
	}
	switch string(b[:probe]) {
	case textPrefix:
		return parseText(b)
	case binaryPrefix[:probe]:
		return parseBinary(b)
	}
	return Header{}, ErrNone
}

// parseText reads version 1: PROXY TCP4 source destination port port.
func parseText(b []byte) (Header, error) {
	end := bytes.Index(b, []byte("\r\n"))
	switch {
	case end < 0 && len(b) >= textMax || end+2 > textMax:
		return Header{}, fmt.Errorf("%w: the line is too long", errInvalid)
	case end < 0:
		return Header{}, ErrMore
	}
	h := Header{Length: end + 2}
	f := bytes.Fields(b[probe:end])
	switch {
	case len(f) > 0 && string(f[0]) == "UNKNOWN":
		return h, nil
	case len(f) != 5:
		return Header{}, fmt.Errorf("%w: it has %d words", errInvalid, len(f)+1)
	}
	source, err := parseAddresses(string(f[0]), string(f[1]), string(f[2]))
	if err != nil {
		return Header{}, err
	}
	port, err := strconv.ParseUint(string(f[3]), 10, 16)
	if err != nil {
		return Header{}, fmt.Errorf("%w: the source port is not a port", errInvalid)
	}
	if _, err := strconv.ParseUint(string(f[4]), 10, 16); err != nil {
		return Header{}, fmt.Errorf("%w: the destination port is not a port", errInvalid)
	}
	h.Source = netip.AddrPortFrom(source, uint16(port))
	return h, nil
}

// parseAddresses returns the source, if both addresses are of the family.
func parseAddresses(family, from, to string) (netip.Addr, error) {
	source, err := netip.ParseAddr(from)
	if err != nil || source.Zone() != "" {
		return netip.Addr{}, fmt.Errorf("%w: the source is not an address", errInvalid)
	}
	destination, err := netip.ParseAddr(to)
	if err != nil {
		return netip.Addr{}, fmt.Errorf("%w: the destination is not an address", errInvalid)
	}
	switch family {
	case "TCP4":
		if source.Is4() && destination.Is4() {
			return source, nil
		}
	case "TCP6":
		if source.Is6() && destination.Is6() {
			return source, nil
		}
	}
	return netip.Addr{}, fmt.Errorf("%w: the addresses are not of the family it names", errInvalid)
}

// Fields of version 2.
const (
	versionTwo   = 0x20
	commandLocal = 0x00
	commandProxy = 0x01
	overStream   = 0x01
	familyNone   = 0x00
	familyFour   = 0x10
	familySix    = 0x20
)

// parseBinary reads version 2.
func parseBinary(b []byte) (Header, error) {
	if len(b) < binaryFixed {
		return Header{}, ErrMore
	}
	h := Header{Length: binaryFixed + int(binary.BigEndian.Uint16(b[14:]))}
	command, family, transport := b[12]&0x0f, b[13]&0xf0, b[13]&0x0f
	switch {
	case string(b[:len(binaryPrefix)]) != binaryPrefix:
		return Header{}, fmt.Errorf("%w: its signature is wrong", errInvalid)
	case b[12]&0xf0 != versionTwo:
		return Header{}, fmt.Errorf("%w: it is of version %d", errInvalid, b[12]>>4)
	case command == commandLocal:
		return h, nil
	case command != commandProxy:
		return Header{}, fmt.Errorf("%w: command %d", errInvalid, command)
	case transport != overStream:
		return Header{}, fmt.Errorf("%w: the client does not speak TCP", errUnsupported)
	}
	var size int
	switch family {
	case familyNone:
		return h, nil
	case familyFour:
		size = 4
	case familySix:
		size = 16
	default:
		return Header{}, fmt.Errorf("%w: address family %d", errUnsupported, family>>4)
	}
	// Two addresses and two ports.
	need := binaryFixed + 2*size + 4
	switch {
	case h.Length < need:
		return Header{}, fmt.Errorf("%w: there is no room for the addresses", errInvalid)
	case len(b) < need:
		return Header{}, ErrMore
	}
	addr, _ := netip.AddrFromSlice(b[binaryFixed : binaryFixed+size]) // of either size
	h.Source = netip.AddrPortFrom(addr, binary.BigEndian.Uint16(b[binaryFixed+2*size:]))
	return h, nil
}
