package up

import (
	"context"

	"github.com/coveymq/covey/controlplane"
)

// NewControlPlane makes the ControlPlane of Parts: a real one, with its own
// store.
func NewControlPlane(ctx context.Context, c ControlPlaneConfig) (ControlPlane, error) {
	return controlplane.New(ctx, controlplane.Config{
		DataDir: c.DataDir, APIAddr: c.APIAddr, HTTPAddr: c.HTTPAddr, FleetAddr: c.FleetAddr, OTLPAddr: c.OTLPAddr,
		Logger: c.Logger,
	})
}
