package system

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/textproto"
	"slices"
	"strings"
	"time"

	"github.com/klauspost/compress/s2"

	"github.com/coveymq/covey/dataplane/internal/account"
	"github.com/coveymq/covey/dataplane/internal/conn"
	"github.com/coveymq/covey/dataplane/internal/monitor"
)

// Server is who we are, in everything that we say under $SYS.
type Server struct {
	Name      string            `json:"name"`
	Host      string            `json:"host"`
	ID        string            `json:"id"`
	Cluster   string            `json:"cluster,omitempty"`
	Version   string            `json:"ver"`
	Tags      []string          `json:"tags,omitempty"`
	Metadata  map[string]string `json:"metadata,omitempty"`
	JetStream bool              `json:"jetstream"`
	Flags     uint64            `json:"flags"`
	Seq       uint64            `json:"seq"`
	Time      time.Time         `json:"time"`
}

// self returns who we are, for the next message.
func (s *Service) self() *Server {
	labels := s.cfg.Monitor.Labels()
	return &Server{
		Tags: labels.Tags, Metadata: labels.Metadata, Name: s.cfg.Name, Host: s.cfg.Address, ID: s.cfg.ID, Cluster: s.cluster(), Version: s.cfg.Version,
		Seq: s.seq.Add(1), Time: time.Now().UTC(),
	}
}

func (s *Service) cluster() string {
	if c := s.cfg.Host.Cluster(); c != nil {
		return c.Name
	}
	return ""
}

// response is what most requests are answered with.
type response struct {
	Server *Server `json:"server"`
	Data   any     `json:"data,omitempty"`
	Error  *fault  `json:"error,omitempty"`
}

// fault is what is wrong with a request.
type fault struct {
	Code        int    `json:"code"`
	Description string `json:"description,omitempty"`
}

// filter says which servers a request is for.
type filter struct {
	Name    string   `json:"server_name,omitempty"`
	Cluster string   `json:"cluster,omitempty"`
	Host    string   `json:"host,omitempty"`
	Exact   bool     `json:"exact_match,omitempty"`
	Tags    []string `json:"tags,omitempty"`
	Domain  string   `json:"domain,omitempty"`
}

// admits reports whether the request is for us. We have no domain.
func (s *Service) admits(f *filter) bool {
	fits := func(is, want string) bool {
		return want == "" || is == want || !f.Exact && strings.Contains(is, want)
	}
	tags := s.cfg.Monitor.Labels().Tags
	for _, tag := range f.Tags {
		if !slices.Contains(tags, strings.ToLower(strings.TrimSpace(tag))) {
			return false
		}
	}
	return fits(s.cfg.Name, f.Name) && fits(s.cfg.Address, f.Host) && fits(s.cluster(), f.Cluster) && f.Domain == ""
}

// errSilent is a request that is not answered.
var errSilent = errors.New("not for this server")

// answer makes the data of a response from a request.
type answer func(*conn.Message) (any, error)

// serve answers a request with what a makes, unless it has no reply subject or is
// for other servers.
func (s *Service) serve(m *conn.Message, a answer) {
	if m.Reply == "" {
		return
	}
	var f filter
	if len(m.Body) > 0 {
		if err := json.Unmarshal(m.Body, &f); err != nil {
			s.fail(m, http.StatusBadRequest, err)
			return
		}
		if !s.admits(&f) {
			return
		}
	}
	data, err := a(m)
	switch {
	case errors.Is(err, errSilent) || errors.Is(err, monitor.ErrNotLeader):
	case err != nil:
		s.reply(m, &response{Server: s.self(), Data: data, Error: &fault{Code: codeOf(err), Description: err.Error()}}, "")
	default:
		s.reply(m, &response{Server: s.self(), Data: data}, encodingFor(m.Header))
	}
}

func (s *Service) fail(m *conn.Message, code int, err error) {
	s.reply(m, &response{Server: s.self(), Error: &fault{Code: code, Description: err.Error()}}, "")
}

// reply sends v as JSON to who asked.
func (s *Service) reply(m *conn.Message, v any, encoding string) {
	b, err := json.Marshal(v)
	if err != nil {
		s.cfg.Log.Error("answer to a system request cannot be encoded", "subject", m.Subject, "err", err)
		return
	}
	var header []byte
	if encoding != "" {
		if b, err = compress(encoding, b); err != nil {
			s.cfg.Log.Error("answer to a system request cannot be compressed", "subject", m.Subject, "err", err)
			return
		}
		header = []byte("NATS/1.0\r\nContent-Encoding: " + encoding + "\r\n\r\n")
	}
	s.send(m.Account, m.Reply, header, b)
}

// publish sends v as JSON to the system account, unless nobody listens.
func (s *Service) publish(subject, reply string, v any) bool {
	sys := s.account()
	if sys == nil || !s.cfg.Host.Wanted(sys, subject) {
		return false
	}
	b, err := json.Marshal(v)
	if err != nil {
		s.cfg.Log.Error("system event cannot be encoded", "subject", subject, "err", err)
		return false
	}
	return s.cfg.Host.Publish(sys, subject, reply, nil, b)
}

func (s *Service) send(a *account.Account, subject string, header, body []byte) {
	s.cfg.Host.Publish(a, subject, "", header, body)
}

// Names of encodings in headers. What is asked for as s2 is sent as snappy, which
// everybody who knows s2 reads.
const (
	identity = "identity"
	gzipped  = "gzip"
	snappy   = "snappy"
)

// encodingFor returns how an answer is to be encoded; empty if nothing is asked
// for.
func encodingFor(header []byte) string { return encodingOf(headerValue(header, "Accept-Encoding")) }

// encodingOf does the same for the value of the field.
func encodingOf(accept string) string {
	accept = strings.ToLower(accept)
	switch {
	case accept == "":
		return ""
	case strings.Contains(accept, snappy) || strings.Contains(accept, "s2"):
		return snappy
	case strings.Contains(accept, gzipped):
		return gzipped
	}
	return identity
}

// headerValue returns the first value of a header field.
func headerValue(header []byte, name string) string {
	for line := range bytes.Lines(header) {
		field, value, ok := bytes.Cut(line, []byte{':'})
		if ok && textproto.CanonicalMIMEHeaderKey(string(field)) == name {
			return string(bytes.TrimSpace(value))
		}
	}
	return ""
}

func compress(encoding string, b []byte) ([]byte, error) {
	var out bytes.Buffer
	var w io.WriteCloser
	switch encoding {
	case gzipped:
		w = gzip.NewWriter(&out)
	case snappy:
		w = s2.NewWriter(&out, s2.WriterSnappyCompat(), s2.WriterConcurrency(1))
	default:
		return b, nil
	}
	_, err := w.Write(b)
	err = errors.Join(err, w.Close())
	return out.Bytes(), err
}
