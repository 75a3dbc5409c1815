package natscmd

import (
	"encoding/base64"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/nats-io/nats.go"

	"github.com/coveymq/covey/cmd/covey/internal/term"
)

// body returns the argument, or standard input when there is none or it is "-".
// It reads no more than the server takes.
func (k kit) body(args []string, limit int64) ([]byte, error) {
	if len(args) > 0 && args[0] != "-" {
		return []byte(args[0]), nil
	}
	data, err := io.ReadAll(io.LimitReader(k.streams.In, limit+1))
	if err != nil {
		return nil, fmt.Errorf("read standard input: %w", err)
	}
	if int64(len(data)) > limit {
		f := term.Failf("send less at once; --lines sends each line by itself", "standard input is longer than the %d bytes that the server takes", limit)
		f.Code = term.ExitQuota
		return nil, f
	}
	return data, nil
}

// parseHeaders reads "Name: value" flags.
func parseHeaders(flags []string) (nats.Header, error) {
	if len(flags) == 0 {
		return nil, nil // no headers
	}
	h := make(nats.Header, len(flags))
	for _, f := range flags {
		name, value, ok := strings.Cut(f, ":")
		name, value = strings.TrimSpace(name), strings.TrimSpace(value)
		if !ok || name == "" || strings.ContainsAny(f, "\r\n") || strings.ContainsAny(name, " \t") {
			return nil, term.Usagef("for example -H 'Trace-Id: 42'", "%q is not a header", f)
		}
		h.Add(name, value)
	}
	return h, nil
}

// line is a message for programs. Data that is not text is in DataBase64.
type line struct {
	Subject    string      `json:"subject"`
	Reply      string      `json:"reply,omitempty"`
	Headers    nats.Header `json:"headers,omitempty"`
	Data       *string     `json:"data,omitempty"`
	DataBase64 string      `json:"data_base64,omitempty"`
}

func lineOf(m *nats.Msg) line {
	l := line{Subject: m.Subject, Reply: m.Reply, Headers: m.Header}
	if utf8.Valid(m.Data) {
		s := string(m.Data)
		l.Data = &s
	} else {
		l.DataBase64 = base64.StdEncoding.EncodeToString(m.Data)
	}
	return l
}
