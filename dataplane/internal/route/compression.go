package route

import (
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/klauspost/compress/s2"

	"github.com/coveymq/covey/dataplane/internal/egress"
	"github.com/coveymq/covey/internal/errs"
)

// What a broker may say about compression, on the wire as in a configuration.
const (
	CompressionNotSupported   = "not supported"
	CompressionOff            = "off"
	CompressionAccept         = "accept" // when the peer asks for it
	CompressionS2Auto         = "s2_auto"
	CompressionS2Uncompressed = "s2_uncompressed"
	CompressionS2Fast         = "s2_fast"
	CompressionS2Better       = "s2_better"
	CompressionS2Best         = "s2_best"
)

// Compression is how what goes to other brokers is compressed. The zero value is
// nats-server's default: when the peer asks for it.
type Compression struct {
	Mode string
	// Thresholds are, for s2_auto, up to which round trip time nothing is
	// compressed, up to which fast, better and best. A 0 leaves a level out.
	Thresholds []time.Duration
}

// Normal returns the compression by its usual names, or what is wrong with it.
func (c Compression) Normal() (Compression, error) {
	switch c.Mode {
	case "":
		c.Mode = CompressionAccept
	case "on", "enabled", "true":
		c.Mode = CompressionS2Fast
	case "disabled", "false":
		c.Mode = CompressionOff
	case "not_supported":
		c.Mode = CompressionNotSupported
	case "auto":
		c.Mode = CompressionS2Auto
	case CompressionNotSupported, CompressionOff, CompressionAccept, CompressionS2Auto, CompressionS2Uncompressed,
		CompressionS2Fast, CompressionS2Better, CompressionS2Best:
	default:
		return c, errs.New(errs.Invalid, "ROUTE_COMPRESSION", "%q is not a way to compress routes", c.Mode).
			WithNext("use off, accept, s2_fast, s2_better, s2_best, s2_uncompressed or s2_auto")
	}
	if c.Mode != CompressionS2Auto {
		c.Thresholds = nil
		return c, nil
	}
	if len(c.Thresholds) == 0 {
		c.Thresholds = []time.Duration{10 * time.Millisecond, 50 * time.Millisecond, 100 * time.Millisecond}
		return c, nil
	}
	return c, c.order()
}

// maxThresholds is how many levels there are.
const maxThresholds = 4

// order checks the thresholds and cuts those off that leave levels out at the
// end.
func (c *Compression) order() error {
	last := time.Duration(0)
	for i, d := range c.Thresholds {
		c.Thresholds[i] = max(d, 0)
		if d > 0 && d < last {
			return errs.New(errs.Invalid, "ROUTE_COMPRESSION", "RTT threshold values %v should be in ascending order", c.Thresholds)
		}
		last = max(last, d)
	}
	for len(c.Thresholds) > 0 && c.Thresholds[len(c.Thresholds)-1] == 0 {
		c.Thresholds = c.Thresholds[:len(c.Thresholds)-1]
	}
	if n := len(c.Thresholds); n == 0 || n > maxThresholds {
		return errs.New(errs.Invalid, "ROUTE_COMPRESSION", "s2_auto needs one to %d RTT thresholds, not %d", maxThresholds, n)
	}
	return nil
}

// agree returns the compression that results from ours and the peer's.
func agree(ours, theirs string) (string, error) {
	switch theirs {
	case "", CompressionNotSupported:
		return CompressionNotSupported, nil
	case CompressionOff:
		return CompressionOff, nil
	case CompressionAccept:
		if ours == CompressionAccept {
			return CompressionOff, nil
		}
	case CompressionS2Auto:
		if ours == CompressionAccept {
			return CompressionS2Fast, nil
		}
	case CompressionS2Uncompressed, CompressionS2Fast, CompressionS2Better, CompressionS2Best:
		if ours == CompressionAccept {
			return theirs, nil
		}
	default:
		return "", fmt.Errorf("unsupported route compression mode %q", theirs)
	}
	return ours, nil
}

// byRTT is the compression for a distance.
func (c *Compression) byRTT(rtt time.Duration) string {
	i := slices.IndexFunc(c.Thresholds, func(d time.Duration) bool { return rtt <= d })
	if i < 0 {
		i = len(c.Thresholds)
		if i < maxThresholds-1 {
			i--
		}
	}
	return [...]string{CompressionS2Uncompressed, CompressionS2Fast, CompressionS2Better, CompressionS2Best}[min(i, maxThresholds-1)]
}

func compresses(mode string) bool {
	_, ok := level(mode)
	return ok
}

func level(mode string) (egress.Level, bool) {
	switch mode {
	case CompressionS2Uncompressed:
		return egress.Uncompressed, true
	case CompressionS2Fast:
		return egress.Fast, true
	case CompressionS2Better:
		return egress.Better, true
	case CompressionS2Best:
		return egress.Best, true
	}
	return 0, false
}

// negotiate handles the peer's first INFO as far as compression goes. It reports
// whether the link is compressed from now on, so that another INFO follows.
func (l *link) negotiate(i *info) (bool, *ending) {
	if l.negotiated {
		return false, nil
	}
	l.negotiated = true
	own := l.config.Compression
	mode, err := agree(own.Mode, i.Compression)
	if err != nil {
		return false, &ending{text: err.Error(), why: err.Error()}
	}
	if mode == CompressionS2Auto {
		l.auto = true
		mode = own.byRTT(time.Since(l.start))
	}
	l.compression.Store(&mode)
	lvl, on := level(mode)
	if !on {
		return false, nil
	}
	line := l.negotiation(mode)
	if l.solicited() {
		l.out.Control(append(l.hello(), line...))
		if l.out.Finish(handshakeTimeout); l.out.Pending() > 0 {
			return false, slowPeer
		}
		l.out.Compress(lvl)
	} else {
		l.out.Compress(lvl)
		l.out.Control(line)
	}
	l.inflate = true
	return true, nil
}

// negotiation is the INFO that tells of the mode that results.
func (l *link) negotiation(mode string) []byte {
	m := l.mesh
	m.mu.Lock()
	i := m.info()
	m.mu.Unlock()
	i.Compression, i.Account = mode, ""
	if l.auto {
		i.Compression = CompressionS2Auto
	}
	if l.solicited() {
		i.Account = l.slot.account
	}
	return i.line()
}

// decompress reads from now on what the peer compressed: first what was read
// already.
func (l *link) decompress(read []byte) {
	l.inflate = false
	l.source = s2.NewReader(io.MultiReader(&rest{slices.Clone(read)}, l.source))
}

// rest is what was read of a source already.
type rest struct{ b []byte }

// Read returns what is left of it.
func (r *rest) Read(b []byte) (int, error) {
	if len(r.b) == 0 {
		return 0, io.EOF
	}
	n := copy(b, r.b)
	r.b = r.b[n:]
	return n, nil
}

// adapt chooses the level anew, if that goes by the distance.
func (l *link) adapt(rtt time.Duration) {
	if !l.auto {
		return
	}
	mode := l.config.Compression.byRTT(rtt)
	if mode == *l.compression.Load() {
		return
	}
	lvl, _ := level(mode)
	l.out.SetLevel(lvl)
	l.compression.Store(&mode)
	l.config.Log.Debug("route compression", "rid", l.id, "mode", mode, "rtt", rtt)
}
