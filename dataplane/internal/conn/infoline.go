package conn

import (
	"encoding/json"
	"strconv"
)

// line returns the INFO line.
func (i *Info) line() []byte { return i.appendLine(make([]byte, 0, infoRoom)) }

// appendLine appends the INFO line: the JSON that the library would make, in its
// order. Every connect gets one, and looking the fields up by reflection is a
// good part of what a connect costs.
func (i *Info) appendLine(to []byte) []byte {
	l := infoLine(append(to, "INFO {"...))
	l = l.text("server_id", i.ServerID).text("server_name", i.ServerName).text("version", i.Version)
	l = l.number("proto", uint64(i.Proto)).optional("git_commit", i.GitCommit) //nolint:gosec // none of these is negative
	l = l.text("go", i.Go).text("host", i.Host).number("port", uint64(i.Port)) //nolint:gosec // as above
	if i.Headers {
		l = l.flag("headers", true)
	} else {
		l = append(l.key("headers"), "false"...)
	}
	l = l.flag("auth_required", i.AuthRequired).flag("tls_required", i.TLSRequired)
	l = l.flag("tls_verify", i.TLSVerify).flag("tls_available", i.TLSAvailable)
	l = l.number("max_payload", uint64(i.MaxPayload)).flag("jetstream", i.JetStream) //nolint:gosec // as above
	if i.ClientID != 0 {
		l = l.number("client_id", i.ClientID)
	}
	l = l.optional("client_ip", i.ClientIP).optional("nonce", i.Nonce)
	l = l.optional("cluster", i.Cluster).flag("cluster_dynamic", i.ClusterDynamic).optional("domain", i.Domain)
	l = l.list("connect_urls", i.ConnectURLs)
	l = l.flag("ldm", i.LameDuckMode).flag("connect_info", i.ConnectInfo)
	l = l.optional("remote_account", i.RemoteAccount).flag("acc_is_sys", i.IsSystemAccount)
	if i.JetStreamAPILevel != 0 {
		l = l.number("api_lvl", uint64(i.JetStreamAPILevel)) //nolint:gosec // as above
	}
	l = l.optional("xkey", i.XKey)
	return append(l, "}\r\n"...)
}

// infoRoom is what a usual line fits into.
const infoRoom = 512

// infoLine is an INFO line in the making.
type infoLine []byte

func (l infoLine) key(name string) infoLine {
	if l[len(l)-1] != '{' {
		l = append(l, ',')
	}
	return append(append(append(l, '"'), name...), '"', ':')
}

func (l infoLine) text(name, value string) infoLine { return l.key(name).quoted(value) }

func (l infoLine) optional(name, value string) infoLine {
	if value == "" {
		return l
	}
	return l.text(name, value)
}

func (l infoLine) number(name string, value uint64) infoLine {
	return strconv.AppendUint(l.key(name), value, 10)
}

// flag leaves out what is not so.
func (l infoLine) flag(name string, value bool) infoLine {
	if !value {
		return l
	}
	return append(l.key(name), "true"...)
}

func (l infoLine) list(name string, values []string) infoLine {
	if len(values) == 0 {
		return l
	}
	l = append(l.key(name), '[')
	for i, v := range values {
		if i > 0 {
			l = append(l, ',')
		}
		l = l.quoted(v)
	}
	return append(l, ']')
}

// quoted appends a string; one with characters that need care, as the library
// does.
func (l infoLine) quoted(s string) infoLine {
	for i := range len(s) {
		switch b := s[i]; {
		case b < ' ' || b >= 0x7f, b == '"', b == '\\', b == '<', b == '>', b == '&':
			text, err := json.Marshal(s)
			if err != nil {
				panic("conn: INFO cannot be encoded: " + err.Error()) // strings always can
			}
			return append(l, text...)
		}
	}
	return append(append(append(l, '"'), s...), '"')
}
