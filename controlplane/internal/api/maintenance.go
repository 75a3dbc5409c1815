package api

import (
	"bufio"
	"context"
	"io"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/coveymq/covey/controlplane/internal/auditlog"
	adminv1 "github.com/coveymq/covey/proto/covey/admin/v1"
)

const pieceBytes = 64 << 10 // of a backup in one message

// Maintainer does what MaintenanceService offers.
type Maintainer interface {
	// Backup writes a copy of the store.
	Backup(ctx context.Context, w io.Writer) error
	// VerifyAudit checks every audit log.
	VerifyAudit(ctx context.Context, each func(auditlog.Verdict) error) error
}

type maintenance struct {
	adminv1.UnimplementedMaintenanceServiceServer
	does Maintainer
}

// Backup implements covey.admin.v1.
func (m *maintenance) Backup(_ *adminv1.BackupRequest, stream grpc.ServerStreamingServer[adminv1.BackupResponse]) error {
	w := bufio.NewWriterSize(pieces{stream}, pieceBytes)
	if err := m.does.Backup(stream.Context(), w); err != nil {
		return err
	}
	return w.Flush()
}

// pieces sends what is written. The stream does not keep the bytes.
type pieces struct {
	stream grpc.ServerStreamingServer[adminv1.BackupResponse]
}

// Write implements io.Writer.
func (p pieces) Write(data []byte) (int, error) {
	if err := p.stream.Send(&adminv1.BackupResponse{Data: data}); err != nil {
		return 0, err
	}
	return len(data), nil
}

// VerifyAudit implements covey.admin.v1.
func (m *maintenance) VerifyAudit(_ *adminv1.VerifyAuditRequest, stream grpc.ServerStreamingServer[adminv1.VerifyAuditResponse]) error {
	return m.does.VerifyAudit(stream.Context(), func(v auditlog.Verdict) error {
		return stream.Send(&adminv1.VerifyAuditResponse{
			Organization: v.Organization, Entries: v.Entries, Head: v.Head, Problem: v.Problem, CheckTime: timestamppb.Now(),
		})
	})
}
