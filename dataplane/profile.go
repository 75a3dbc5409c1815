package dataplane

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/pprof"
	"runtime"
	"strconv"
	"time"

	"github.com/coveymq/covey/internal/lifecycle"
)

// Profile is where profiles are served.
type Profile struct {
	// Port is on loopback; 0 for not at all, negative for any.
	Port int
	// BlockRate is how many nanoseconds of waiting make one sample of the profile
	// of waits; 0 for none.
	BlockRate int
}

// profileTimeout is how long a caller may take to ask. An answer may take as long
// as the profile that it asks for.
const profileTimeout = 5 * time.Second

// openProfile opens the listener for profiles. They tell much of what is in
// memory, so that only who is on the machine may have them.
func (b *Broker) openProfile(ctx context.Context) (err error) {
	if b.cfg.Profile.BlockRate > 0 {
		runtime.SetBlockProfileRate(b.cfg.Profile.BlockRate)
	}
	if b.cfg.Profile.Port == 0 {
		return nil
	}
	b.profiles, err = listen(ctx, "profiles", net.JoinHostPort("127.0.0.1", strconv.Itoa(max(b.cfg.Profile.Port, 0))))
	if err != nil {
		return err
	}
	if a, ok := b.profiles.Addr().(*net.TCPAddr); ok {
		b.cfg.Logger.Info(fmt.Sprintf("profiling port: %d", a.Port))
	}
	return nil
}

// serveProfiles answers at pprof's paths until ctx ends.
func (b *Broker) serveProfiles(ctx context.Context) error {
	mux := http.NewServeMux()
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	s := &http.Server{Handler: mux, ReadTimeout: profileTimeout}
	g := lifecycle.NewGroup(ctx)
	g.Go(func(ctx context.Context) error {
		<-ctx.Done()
		return s.Close()
	})
	g.Go(func(context.Context) error {
		if err := s.Serve(b.profiles); !errors.Is(err, http.ErrServerClosed) {
			return fmt.Errorf("profiles: %w", err)
		}
		return nil
	})
	return g.Wait()
}

// closeProfiles closes the listener if nobody served on it.
func (b *Broker) closeProfiles() error {
	if b.profiles == nil {
		return nil
	}
	if err := b.profiles.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		return err
	}
	return nil
}
