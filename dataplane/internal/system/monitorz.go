package system

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"runtime/pprof"
	"time"

	"github.com/coveymq/covey/dataplane/internal/conn"
	"github.com/coveymq/covey/dataplane/internal/monitor"
)

func codeOf(err error) int {
	var options *monitor.OptionsError
	if errors.As(err, &options) {
		return http.StatusBadRequest
	}
	return http.StatusInternalServerError
}

// monitorz answers what monitoring answers over HTTP, too.
func (s *Service) monitorz(name string) func(*conn.Message) {
	ask := func(m *conn.Message) (any, error) { return s.cfg.Monitor.Ask(name, m.Body, nil) }
	return func(m *conn.Message) { s.serve(m, ask) }
}

// serverID answers who we are, without an envelope.
type serverID struct {
	Name string `json:"name"`
	Host string `json:"host"`
	ID   string `json:"id"`
}

func (s *Service) idz(m *conn.Message) {
	if m.Reply != "" {
		s.reply(m, serverID{s.cfg.Name, s.cfg.Address, s.cfg.ID}, "")
	}
}

// profile is a profile of the process, or why there is none.
type profile struct {
	Profile []byte `json:"profile"`
	Error   string `json:"error"`
}

// profileMax is how long a profile of the processor may take.
const profileMax = 15 * time.Second

// profilez answers in a goroutine of its own: a profile may take seconds.
func (s *Service) profilez(m *conn.Message) {
	s.group.Side(func(ctx context.Context) error {
		s.serve(m, func(m *conn.Message) (any, error) { return takeProfile(ctx, m.Body) })
		return nil
	})
}

func takeProfile(ctx context.Context, body []byte) (any, error) {
	var want struct {
		Name     string        `json:"name"`
		Debug    int           `json:"debug"`
		Duration time.Duration `json:"duration"`
	}
	if len(body) > 0 {
		if err := json.Unmarshal(body, &want); err != nil {
			return nil, err
		}
	}
	var out bytes.Buffer
	switch p := pprof.Lookup(want.Name); {
	case want.Name == "":
		return profile{Error: "Profile name not specified"}, nil
	case want.Name == "cpu" && (want.Duration <= 0 || want.Duration > profileMax):
		return profile{Error: fmt.Sprintf("Duration %s should be between 0s and 15s", want.Duration)}, nil
	case want.Name == "cpu":
		// There can be only one at a time, which StartCPUProfile sees to.
		if err := pprof.StartCPUProfile(&out); err != nil {
			return profile{Error: fmt.Sprintf("Failed to start CPU profile: %s", err)}, nil
		}
		ctx, cancel := context.WithTimeout(ctx, want.Duration)
		<-ctx.Done()
		cancel()
		pprof.StopCPUProfile()
	case p == nil:
		return profile{Error: fmt.Sprintf("Profile %q not found", want.Name)}, nil
	default:
		if err := p.WriteTo(&out, want.Debug); err != nil {
			return profile{Error: fmt.Sprintf("Profile %q error: %s", want.Name, err)}, nil
		}
	}
	return profile{Profile: out.Bytes()}, nil
}

// statszMessage is our figures, as an event and as an answer.
type statszMessage struct {
	Server *Server        `json:"server"`
	Stats  monitor.Statsz `json:"statsz"`
}

func (s *Service) statszMessage() *statszMessage {
	return &statszMessage{Stats: s.cfg.Monitor.Statsz(), Server: s.self()}
}

// broadcast tells our figures to whoever listens.
func (s *Service) broadcast() {
	subject := "$SYS.SERVER." + s.cfg.ID + ".STATSZ"
	if sys := s.account(); sys != nil && s.cfg.Host.Wanted(sys, subject) {
		s.publish(subject, "", s.statszMessage())
	}
}

// statsz answers with our figures; who names no reply subject gets the event.
func (s *Service) statsz(m *conn.Message) {
	var f filter
	if len(m.Body) > 0 {
		if err := json.Unmarshal(m.Body, &f); err != nil {
			if m.Reply != "" {
				s.fail(m, http.StatusBadRequest, err)
			}
			return
		}
		if !s.admits(&f) {
			return
		}
	}
	if m.Reply == "" {
		s.broadcast()
		return
	}
	s.reply(m, s.statszMessage(), "")
}
