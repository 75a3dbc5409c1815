package fleet

import (
	"context"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	fleetv1 "github.com/coveymq/covey/proto/covey/fleet/v1"
)

// windowsMax is how many hours one receipt request may name: a month.
const windowsMax = 31 * 24

// Receipt is the digest of what the ledger holds of one incarnation and hour.
type Receipt struct {
	Window int64  // UTC hour, Unix seconds of its beginning
	Series int64  // how many (account, class, meter)
	Total  uint64 // sum of the values, modulo 2^64
	Hash   uint64 // XOR of the hashes of the series
}

// ReceiptReader reads digests of committed usage. The ledger implements it.
type ReceiptReader interface {
	Receipts(ctx context.Context, incarnation string, windows []int64) ([]Receipt, error)
}

// GetUsageReceipt says what the ledger holds of one incarnation's usage.
func (s *Service) GetUsageReceipt(ctx context.Context, req *fleetv1.GetUsageReceiptRequest) (*fleetv1.GetUsageReceiptResponse, error) {
	if id := req.GetIncarnationId(); id == "" || len(id) > incarnationMax {
		return nil, status.Errorf(codes.InvalidArgument, "incarnation_id: must have 1 to %d bytes", incarnationMax)
	}
	if len(req.GetWindows()) > windowsMax {
		return nil, status.Errorf(codes.InvalidArgument, "windows: at most %d", windowsMax)
	}
	if s.receipts == nil {
		return nil, status.Error(codes.Unavailable, "this control plane keeps no usage ledger")
	}
	receipts, err := s.receipts.Receipts(ctx, req.GetIncarnationId(), req.GetWindows())
	if err != nil {
		return nil, s.unavailable(ctx, "read usage receipts", err)
	}
	resp := &fleetv1.GetUsageReceiptResponse{}
	for _, r := range receipts {
		resp.Receipts = append(resp.Receipts, &fleetv1.UsageReceipt{
			Window: r.Window, Series: r.Series, Total: r.Total, Hash: r.Hash,
		})
	}
	return resp, nil
}
