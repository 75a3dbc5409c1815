package conn

import (
	"bufio"
	"bytes"
	"net/textproto"
	"strings"
	"testing"
)

// Whatever a client writes into its headers, a service reads what we say of it, once,
// and nothing else under that name.
func TestNobodySpeaksForUsInHeaders(t *testing.T) {
	const ours = "the truth"
	for _, block := range []string{
		"",
		"\r\n",
		"NATS/1.0\r\n\r\n",
		"NATS/1.0\r\nNats-Request-Info: lie\r\n\r\n",
		"NATS/1.0\r\nA: b\nNats-Request-Info: lie\r\n\r\n",
		"NATS/1.0\r\nA: b\rNats-Request-Info: lie\r\n\r\n",
		"NATS/1.0\nNats-Request-Info: lie\r\n\r\n",
		"NATS/1.0\r\nnats-request-info: lie\r\nNATS-REQUEST-INFO:lie\r\n\r\n",
		"NATS/1.0\r\nNats-Request-Info : lie\r\n Nats-Request-Info: lie\r\n\tNats-Request-Info: lie\r\n\r\n",
		"Nats-Request-Info: lie\r\nNATS/1.0\r\nNats-Trace-Dest: elsewhere\r\n\r\n",
		"NATS/1.0\r\n\r\nA: b\r\n\r\n",
		"NATS/1.0\r\nno field\r\nA: b\r\n\r\n",
		"NATS/1.0\r\nA: b",
		"NATS/1.0\r\nA: b\n",
		"NATS/1.0\r\nA: b\r\n\n",
		"NATS/1.0x\r\nA: b\r\n\r\n",
		"NATS/1.0\r\nA: b\nNats-Trace-Dest: elsewhere\r\n\r\n",
		"NATS/1.0\r\nno field\r\nNats-Trace-Dest: elsewhere\r\n\r\n",
		"NATS/1.0\r\n\r\nNats-Trace-Dest: elsewhere\r\n\r\n",
		"NATS/1.0\r\nNats-Trace-Dest: elsewhere",
		"NATS/2.0\r\nNats-Trace-Dest: elsewhere\r\n\r\n",
		"\x00\xff: x\r\n\xff: y\r\n: z\r\n",
	} {
		out := string(appendFields(nil, []byte(block), infoHeader)) + infoHeader + ": " + ours + "\r\n\r\n"
		if !strings.HasPrefix(out, "NATS/1.0\r\n") {
			t.Errorf("%q becomes %q", block, out)
			continue
		}
		if h, ok := parseTraceHeader([]byte(out)); ok {
			if was, is := parseTraceHeader([]byte(block)); !is || was.first(traceDest) != h.first(traceDest) {
				t.Errorf("%q is not traced, and %q is", block, out)
			}
		}
		_, fields, _ := strings.Cut(out, "\r\n")
		all, err := textproto.NewReader(bufio.NewReader(strings.NewReader(fields))).ReadMIMEHeader()
		if err != nil {
			t.Errorf("%q becomes %q, which cannot be read: %v", block, out, err)
			continue
		}
		if said := all[infoHeader]; len(said) != 1 || said[0] != ours {
			t.Errorf("%q becomes %q, which says %q", block, out, said)
		}
	}
}

// Headers as clients write them are not touched.
func TestHeadersOfRequestsStay(t *testing.T) {
	for block, want := range map[string]string{
		"NATS/1.0\r\nA: B\r\na:b\r\nA: \xff\xfe\r\nX:\r\n\r\n":                                    "NATS/1.0\r\nA: B\r\na:b\r\nA: \xff\xfe\r\nX:\r\n",
		"NATS/1.0 503 No Responders\r\nA: b\r\n\r\n":                                              "NATS/1.0 503 No Responders\r\nA: b\r\n",
		"NATS/1.0\r\nNats-Request-Infos: x\r\nNats-Request-Info: y\r\nNats-Trace-Dest: z\r\n\r\n": "NATS/1.0\r\nNats-Request-Infos: x\r\nNats-Trace-Dest: z\r\n",
	} {
		if got := appendFields(nil, []byte(block), infoHeader); !bytes.Equal(got, []byte(want)) {
			t.Errorf("%q becomes %q, want %q", block, got, want)
		}
	}
}
