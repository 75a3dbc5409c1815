package interest

import (
	"unsafe"

	"github.com/coveymq/covey/dataplane/internal/egress"
)

// Shadow is a subscription in the index of another account than its
// subscriber's: what one there stands for.
type Shadow struct {
	Sub            // first, see Sub.Shadow
	Of    *Sub     // which counts the deliveries
	Local Rewriter // what the subjects are there
}

// Rewriter changes subjects on their way to a subscriber.
type Rewriter interface {
	// AppendLocal appends what a subject is to the subscriber.
	AppendLocal(dst, subject []byte) []byte
}

// NewShadow returns a subscription to a subject that stands for another one.
func NewShadow(dst *egress.Conn, subject string, of *Sub, local Rewriter) *Shadow {
	s := NewSub(dst, subject, of.Queue(), of.SID())
	return &Shadow{Sub: Sub{Dst: dst, text: s.text, subjectLen: s.subjectLen, queueLen: s.queueLen, shadow: true}, Of: of, Local: local}
}

// Shadow returns what a subscription was made as by NewShadow, or nil. A pointer
// to it would make every subscription longer than a cache line.
func (s *Sub) Shadow() *Shadow {
	if !s.shadow {
		return nil
	}
	return (*Shadow)(unsafe.Pointer(s)) //nolint:gosec // what NewShadow made begins with the Sub
}
