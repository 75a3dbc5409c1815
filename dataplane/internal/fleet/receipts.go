package fleet

import (
	"context"
	"fmt"

	fleetv1 "github.com/coveymq/covey/proto/covey/fleet/v1"
)

// Receipt is the digest of what the ledger holds of one incarnation and hour.
type Receipt struct {
	Window int64  // UTC hour, Unix seconds of its beginning
	Series int64  // how many (account, class, meter)
	Total  uint64 // sum of the values, modulo 2^64
	Hash   uint64 // XOR of the hashes of the series
}

// UsageReceipts asks what the ledger holds of an incarnation, this one or one
// whose counters were found at the start.
func (c *Client) UsageReceipts(ctx context.Context, incarnation string, windows []int64) ([]Receipt, error) {
	resp, err := c.rpc.GetUsageReceipt(ctx, &fleetv1.GetUsageReceiptRequest{
		IncarnationId: incarnation, Windows: windows,
	})
	if err != nil {
		return nil, fmt.Errorf("get usage receipts: %w", err)
	}
	receipts := make([]Receipt, 0, len(resp.GetReceipts()))
	for _, r := range resp.GetReceipts() {
		receipts = append(receipts, Receipt{
			Window: r.GetWindow(), Series: r.GetSeries(), Total: r.GetTotal(), Hash: r.GetHash(),
		})
	}
	return receipts, nil
}
