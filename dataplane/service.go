package dataplane

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/coveymq/covey/dataplane/internal/config"
	"github.com/coveymq/covey/dataplane/internal/natslog"
)

// service is a broker as a process: with files that name it, and signals.
type service struct {
	// Immutable.
	command *config.Command
	log     *natslog.Log
	logger  *slog.Logger
	broker  *Broker

	// Owned by run.
	options *config.Options // in force
	leave   context.CancelCauseFunc
	leaving bool
	// portsFile is where the ports are written; empty if nowhere.
	portsFile string

	reloads chan chan<- error // requests to reload, and who waits for what comes of them
}

// quickFlush bounds the wait for the receipt of the last usage when a broker is
// told to leave at once. What is not acknowledged is reported by the next start.
const quickFlush = 2 * time.Second

// signalsMax is how many signals may wait; the kernel merges them likewise.
const signalsMax = 8

// run serves until the broker has left.
func (s *service) run(ctx context.Context) error {
	ctx, s.leave = context.WithCancelCause(ctx)
	defer s.leave(nil)
	signals := make(chan os.Signal, signalsMax)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGUSR1, syscall.SIGUSR2)
	defer signal.Stop(signals)
	defer s.removeFiles()
	if err := s.writeFiles(); err != nil {
		return errors.Join(err, s.broker.release()) //nolint:contextcheck // closing has a deadline of its own
	}
	s.reloads = make(chan chan<- error)
	s.broker.reload = s.requestReload
	done := make(chan error, 1)
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() { done <- s.broker.Run(ctx) })
	for {
		select {
		case err := <-done:
			return err
		case sig := <-signals:
			s.logger.Info(fmt.Sprintf("Trapped %q signal", sig))
			s.obey(ctx, sig)
		case result := <-s.reloads:
			result <- s.reload(ctx)
		}
	}
}

// obey does what a signal asks for.
func (s *service) obey(ctx context.Context, sig os.Signal) {
	switch sig {
	case syscall.SIGINT:
		s.depart(Drain{Flush: quickFlush})
		s.broker.Hurry()
	case syscall.SIGTERM:
		s.depart(Drain{Flush: DefaultDrain().Flush})
	case syscall.SIGUSR2:
		s.depart(s.broker.cfg.Drain)
	case syscall.SIGUSR1:
		if err := s.log.Reopen(); err != nil {
			s.logger.Error("Failed to reopen the log file: " + err.Error())
			return
		}
		s.logger.Info("File log re-opened")
	case syscall.SIGHUP:
		if err := s.reload(ctx); err != nil {
			s.logger.Error("Failed to reload server configuration: " + strings.ReplaceAll(err.Error(), "\n", "; "))
		}
	}
}

// requestReload reloads for somebody who is not run.
func (s *service) requestReload(ctx context.Context) error {
	result := make(chan error, 1)
	select {
	case s.reloads <- result:
		return <-result
	case <-ctx.Done():
		return ctx.Err()
	}
}

// depart makes the broker leave, unless it is leaving already.
func (s *service) depart(d Drain) {
	if !s.leaving {
		s.leaving = true
		s.leave(Leave(d))
	}
}

func joinPort(host string, port int) string { return net.JoinHostPort(host, strconv.Itoa(port)) }
