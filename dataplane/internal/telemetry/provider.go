package telemetry

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetricgrpc"
	exporter "go.opentelemetry.io/otel/exporters/prometheus"
	"go.opentelemetry.io/otel/metric"
	sdk "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.opentelemetry.io/otel/sdk/resource"
)

// DefaultInterval is how often metrics are pushed.
const DefaultInterval = time.Minute

// Options are where metrics go.
type Options struct {
	// Push is the URL of an OTLP receiver over gRPC; https for TLS, http for none.
	// Empty for no pushing.
	Push string
	// Interval is how often; 0 for DefaultInterval.
	Interval time.Duration
	// Instance, Name and Version say who the metrics are of.
	Instance, Name, Version string
	// Log is told when pushing fails.
	Log *slog.Logger
}

// Provider collects and exports the metrics. Close it.
type Provider struct {
	sdk     *sdk.MeterProvider
	handler http.Handler
}

// Open returns a provider whose metrics Prometheus may scrape, and that pushes
// them if the options say where to.
func Open(ctx context.Context, o Options) (*Provider, error) {
	registry := prometheus.NewRegistry()
	scrape, err := exporter.New(exporter.WithRegisterer(registry), exporter.WithoutScopeInfo())
	if err != nil {
		return nil, fmt.Errorf("metrics for Prometheus: %w", err)
	}
	options := []sdk.Option{sdk.WithReader(scrape), sdk.WithResource(resource.NewSchemaless(
		attribute.String("service.name", "covey-broker"), attribute.String("service.version", o.Version),
		attribute.String("service.instance.id", o.Instance), attribute.String("covey.broker.name", o.Name),
	))}
	if o.Push != "" {
		push, err := otlpmetricgrpc.New(ctx, otlpmetricgrpc.WithEndpointURL(o.Push))
		if err != nil {
			return nil, fmt.Errorf("metrics to %s: %w", o.Push, err)
		}
		every := o.Interval
		if every == 0 {
			every = DefaultInterval
		}
		options = append(options, sdk.WithReader(sdk.NewPeriodicReader(&logged{push, o.Log}, sdk.WithInterval(every))))
	}
	return &Provider{
		sdk:     sdk.NewMeterProvider(options...),
		handler: promhttp.HandlerFor(registry, promhttp.HandlerOpts{EnableOpenMetrics: true, MaxRequestsInFlight: scrapesMax}),
	}, nil
}

// logged is an exporter whose failures go to the broker's own log. The metrics
// are cumulative, so that the next push makes up for one that failed.
type logged struct {
	sdk.Exporter
	log *slog.Logger
}

// Export exports, or says why not.
func (l *logged) Export(ctx context.Context, m *metricdata.ResourceMetrics) error {
	if err := l.Exporter.Export(ctx, m); err != nil {
		l.log.Warn("metrics could not be pushed", "err", err)
	}
	return nil
}

// scrapesMax is how many callers may collect at a time.
const scrapesMax = 4

// Meters is where instruments are made.
func (p *Provider) Meters() metric.MeterProvider { return p.sdk }

// ServeHTTP answers a scrape.
func (p *Provider) ServeHTTP(w http.ResponseWriter, r *http.Request) { p.handler.ServeHTTP(w, r) }

// Close pushes the metrics for the last time, for as long as ctx allows.
func (p *Provider) Close(ctx context.Context) error {
	if err := p.sdk.Shutdown(ctx); err != nil && !errors.Is(err, sdk.ErrReaderShutdown) {
		return fmt.Errorf("last metrics: %w", err)
	}
	return nil
}

// ValidPush says what is wrong with the URL of a receiver.
func ValidPush(text string) error {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return fmt.Errorf("%q is not a URL like http://host:4317", text)
	}
	return nil
}
