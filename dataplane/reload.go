package dataplane

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"runtime"
	"strings"
	"time"

	"github.com/coveymq/covey/dataplane/internal/auth"
	"github.com/coveymq/covey/dataplane/internal/config"
	"github.com/coveymq/covey/dataplane/internal/conn"
)

var errNoFile = errors.New("can only reload config when a file is provided using -c or --config")

// reload reads the configuration again and puts in force what may change while
// the broker runs. If anything else has changed, or the file is bad, all stays
// as it is.
func (s *service) reload(ctx context.Context) error {
	if s.command.File == "" {
		return errNoFile
	}
	next, err := s.command.Options()
	if err != nil {
		return err
	}
	if fixed := unreloadable(s.options, next); len(fixed) > 0 {
		return fmt.Errorf("config reload not supported for %s; restart the broker", strings.Join(fixed, ", "))
	}
	if err := s.log.Apply(next.Log); err != nil {
		return err
	}
	sayWarnings(s.logger, next)
	var clients *conn.Options
	if s.options.Clients != next.Clients {
		clients = &next.Clients
	}
	var access *auth.Access
	if !reflect.DeepEqual(s.options.Access, next.Access) {
		access = &next.Access
	}
	if err := s.broker.Reload(access, clients); err != nil {
		return err
	}
	if next.Cluster != nil {
		if err := s.broker.ReloadCluster(clusterOf(next)); err != nil {
			return err
		}
	}
	if next.Operator != nil {
		if err := s.broker.ReloadOperator(ctx, next.Operator); err != nil {
			return err
		}
	}
	s.broker.monitor.Configured(time.Now(), next.Digest, Labels{Tags: next.Tags, Metadata: next.Metadata})
	s.broker.advertise(next.Advertise)
	runtime.SetBlockProfileRate(next.Profile.BlockRate)
	if err := s.moveFiles(next); err != nil {
		s.logger.Error(err.Error())
	}
	s.options = next
	s.logger.Info(fmt.Sprintf("Reloaded server configuration (%s)", next.Digest))
	return nil
}

// unreloadable returns what has changed and cannot while the broker runs.
func unreloadable(before, after *config.Options) []string {
	var names []string
	for _, key := range []struct {
		name  string
		value func(*config.Options) any
	}{
		{"host", func(o *config.Options) any { return o.Host }},
		{"port", func(o *config.Options) any { return o.Port }},
		{"http", func(o *config.Options) any { return joinPort(o.MonitorHost, o.MonitorPort) }},
		{"https", func(o *config.Options) any { return joinPort(o.MonitorHost, o.MonitorTLSPort) }},
		{"http_base_path", func(o *config.Options) any { return o.MonitorBasePath }},
		{"server_name", func(o *config.Options) any { return o.ServerName }},
		{"no_header_support", func(o *config.Options) any { return o.NoHeaders }},
		{"lame_duck_grace_period", func(o *config.Options) any { return o.LameDuckGrace }},
		{"lame_duck_duration", func(o *config.Options) any { return o.LameDuckDuration }},
		{"system_account", func(o *config.Options) any { return o.Access.System }},
		{"operator", func(o *config.Options) any { return o.Operator != nil }},
		{"resolver", func(o *config.Options) any { return resolverOf(o).Resolver }},
		{"the operator's system account", func(o *config.Options) any { return resolverOf(o).System }},
		{"cluster", func(o *config.Options) any { return o.Cluster != nil }},
		{"cluster host", func(o *config.Options) any { return clusterIn(o).Host }},
		{"cluster port", func(o *config.Options) any { return clusterIn(o).Port }},
		{"cluster name", func(o *config.Options) any { return clusterIn(o).Name }},
		{"prof_port", func(o *config.Options) any { return o.Profile.Port }},
		{"covey", func(o *config.Options) any { return o.Covey }},
	} {
		if !reflect.DeepEqual(key.value(before), key.value(after)) {
			names = append(names, key.name)
		}
	}
	return names
}

func clusterIn(o *config.Options) config.Cluster {
	if o.Cluster == nil {
		return config.Cluster{}
	}
	return *o.Cluster
}

func resolverOf(o *config.Options) config.Operator {
	if o.Operator == nil {
		return config.Operator{}
	}
	return *o.Operator
}
