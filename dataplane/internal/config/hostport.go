package config

import (
	"errors"
	"net"
	"strconv"
	"strings"
)

// HostPort splits "host" or "host:port"; a port that is left out, or 0 or -1, is
// the given one.
func HostPort(s string, port int) (string, int, error) {
	host, p, err := net.SplitHostPort(s)
	if err != nil {
		if host = strings.Trim(s, "[]"); host == "" || strings.Contains(host, ":") && net.ParseIP(host) == nil {
			return "", 0, errors.New("not host:port")
		}
		return host, port, nil
	}
	i, err := strconv.Atoi(p)
	if err != nil || i < -1 || i > 65535 {
		return "", 0, errors.New("not a port number")
	}
	if host == "" {
		return "", 0, errors.New("no host")
	}
	if i > 0 {
		port = i
	}
	return host, port, nil
}
