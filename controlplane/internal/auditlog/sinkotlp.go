package auditlog

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"net/url"
	"time"

	logsv1 "go.opentelemetry.io/proto/otlp/collector/logs/v1"
	commonv1 "go.opentelemetry.io/proto/otlp/common/v1"
	recordv1 "go.opentelemetry.io/proto/otlp/logs/v1"
	resourcev1 "go.opentelemetry.io/proto/otlp/resource/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/coveymq/covey/controlplane/internal/outward"
	"github.com/coveymq/covey/internal/errs"
)

const otlpWithin = 15 * time.Second

// OTLP is a sink that sends records as log records over OTLP/gRPC.
type OTLP struct {
	host   string
	conn   *grpc.ClientConn
	client logsv1.LogsServiceClient
}

// NewOTLP returns a sink for a collector: https://host:4317, or http:// on
// loopback.
func NewOTLP(address string) (*OTLP, error) {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" || u.Path != "" || u.RawQuery != "" || u.User != nil {
		return nil, errs.New(errs.Invalid, "AUDIT_SINK_INVALID", "the OTLP address for the audit log is not of the form https://host:4317")
	}
	secure := credentials.NewTLS(&tls.Config{MinVersion: tls.VersionTLS12})
	if u.Scheme == "http" {
		if !outward.IsLoopback(u.Hostname()) {
			return nil, errs.New(errs.Invalid, "PLAINTEXT_EXPOSED", "the collector %s would get the audit log over a network in the clear", u.Host).WithNext("use https://")
		}
		secure = insecure.NewCredentials()
	}
	conn, err := grpc.NewClient(u.Host, grpc.WithTransportCredentials(secure))
	if err != nil {
		return nil, fmt.Errorf("OTLP sink: %w", err)
	}
	return &OTLP{host: u.Host, conn: conn, client: logsv1.NewLogsServiceClient(conn)}, nil
}

// Name implements [Sink].
func (o *OTLP) Name() string { return "otlp " + o.host }

// Deliver implements [Sink].
func (o *OTLP) Deliver(ctx context.Context, records []Record) error {
	logs := make([]*recordv1.LogRecord, len(records))
	for i, r := range records {
		body, err := json.Marshal(r)
		if err != nil {
			return fmt.Errorf("encode audit entry: %w", err)
		}
		logs[i] = &recordv1.LogRecord{
			TimeUnixNano: uint64(r.Time.UnixNano()), SeverityNumber: recordv1.SeverityNumber_SEVERITY_NUMBER_INFO, SeverityText: "INFO",
			EventName: "covey.audit", Body: text(string(body)),
			Attributes: []*commonv1.KeyValue{
				attribute("covey.organization", r.Organization), attribute("covey.audit.actor", r.Actor), attribute("covey.audit.method", r.Method),
				attribute("covey.audit.target", r.Target), attribute("covey.audit.hash", r.Hash),
				{Key: "covey.audit.sequence", Value: &commonv1.AnyValue{Value: &commonv1.AnyValue_IntValue{IntValue: r.Sequence}}},
			},
		}
	}
	ctx, cancel := context.WithTimeout(ctx, otlpWithin)
	defer cancel()
	resp, err := o.client.Export(ctx, &logsv1.ExportLogsServiceRequest{ResourceLogs: []*recordv1.ResourceLogs{{
		Resource:  &resourcev1.Resource{Attributes: []*commonv1.KeyValue{attribute("service.name", "covey-controlplane")}},
		ScopeLogs: []*recordv1.ScopeLogs{{Scope: &commonv1.InstrumentationScope{Name: "covey.audit"}, LogRecords: logs}},
	}}})
	if err != nil {
		return fmt.Errorf("export to %s: %w", o.host, err)
	}
	if n := resp.GetPartialSuccess().GetRejectedLogRecords(); n > 0 {
		return fmt.Errorf("collector %s rejected %d of %d records: %s", o.host, n, len(records), resp.GetPartialSuccess().GetErrorMessage())
	}
	return nil
}

// Close ends the connection.
func (o *OTLP) Close() error {
	if err := o.conn.Close(); err != nil {
		return fmt.Errorf("close OTLP sink: %w", err)
	}
	return nil
}

func text(s string) *commonv1.AnyValue {
	return &commonv1.AnyValue{Value: &commonv1.AnyValue_StringValue{StringValue: s}}
}

func attribute(key, value string) *commonv1.KeyValue {
	return &commonv1.KeyValue{Key: key, Value: text(value)}
}
