package conn

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"net/http"
	"net/textproto"
	"strconv"
	"strings"
)

// traced returns the headers by which a request asks to be measured; nil if it
// does not. The first kind of tracing that is there decides, as in nats-server.
func traced(block []byte) http.Header {
	_, lines, _ := bytes.Cut(block, []byte("\n"))
	all, err := textproto.NewReader(bufio.NewReader(bytes.NewReader(lines))).ReadMIMEHeader()
	if err != nil {
		return nil
	}
	h := http.Header(all)
	for _, kind := range [...]struct {
		key    string
		asks   func(value string) bool
		others func(key string) bool // headers that are told as well
	}{
		{"Uber-Trace-Id", uberAsks, func(key string) bool { return strings.HasPrefix(key, "Uberctx-") }},
		{"X-B3-Sampled", func(v string) bool { return v == "1" }, isB3},
		{"X-B3-Traceid", func(string) bool { return true }, isB3},
		{"B3", b3Asks, func(string) bool { return false }},
		{"Traceparent", parentAsks, func(key string) bool { return key == "Tracestate" }},
	} {
		values := h[kind.key]
		if len(values) == 0 {
			continue
		}
		if !kind.asks(values[0]) {
			if kind.key == "X-B3-Sampled" && values[0] != "0" {
				continue // neither yes nor no
			}
			return nil
		}
		out := http.Header{kind.key: values}
		for key, v := range h {
			if kind.others(key) {
				out[key] = v
			}
		}
		return out
	}
	return nil
}

func isB3(key string) bool { return strings.HasPrefix(key, "X-B3-") && key != "X-B3-Flags" }

// uberAsks reads Jaeger's header: the last of four parts is flags in hex.
func uberAsks(v string) bool {
	parts := strings.Split(v, ":")
	if len(parts) != 4 || len(parts[3]) == 0 || len(parts[3]) > 2 {
		return false
	}
	flags, err := hex.DecodeString("0"[:2-len(parts[3])] + parts[3])
	return err == nil && flags[0]&1 == 1
}

// b3Asks reads the single header of Zipkin: only a 0 says no.
func b3Asks(v string) bool {
	parts := strings.Split(v, "-")
	decided := parts[0]
	if len(parts) > 2 {
		decided = parts[2]
	}
	return len(parts) == 2 || decided != "0"
}

// parentAsks reads the W3C's header: the last of four parts is flags in hex.
func parentAsks(v string) bool {
	parts := strings.Split(v, "-")
	if len(parts) != 4 || len(parts[3]) != 2 {
		return false
	}
	flags, err := strconv.ParseInt(parts[3], 16, 8)
	return err == nil && flags&1 == 1
}
