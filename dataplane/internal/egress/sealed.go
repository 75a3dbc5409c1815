package egress

import (
	"syscall"
	"time"

	"github.com/coveymq/covey/dataplane/internal/secure"
)

// sealed is a socket behind TLS. What a vector holds is gathered into full
// records, a few at a time: encrypted, written, and only when the kernel has
// taken a record to its last byte are the bytes in it through. Until then they
// are held, and since a record cannot be made anew, nothing may come before
// them.
type sealed struct {
	tls    *secure.Conn
	socket *socket
	iov    [1]syscall.Iovec // what is unsent, while it is written

	records [sealMax]record // those that are held, in order
	n       int             // how many there are
	bytes   int             // that are in them, in clear
}

// record is a record on its way.
type record struct {
	end   int64 // where it ends in what is encrypted, see secure.Conn.Seal
	plain int   // how many bytes are in it
}

// sealMax is how many records are made before they are written.
const sealMax = 4

func (s *sealed) held() int  { return s.bytes }
func (s *sealed) busy() bool { return s.tls.Busy() }

func (s *sealed) drop() {
	s.tls.Drop()
	s.n, s.bytes = 0, 0
}

func (s *sealed) flush(v *vector, wait time.Duration) (int, error) {
	through := 0
	for {
		if s.n == 0 {
			if err := s.seal(v, through); err != nil {
				return through, err
			}
		}
		unsent := s.tls.Unsent()
		if len(unsent) == 0 {
			return through, nil
		}
		s.iov[0].Base = &unsent[0]
		s.iov[0].SetLen(len(unsent))
		n, err := s.socket.write(s.iov[:], len(unsent), wait)
		s.iov[0].Base = nil
		through += s.sent(n)
		if n < len(unsent) || err != nil {
			return through, err
		}
		wait = 0 // something was accepted
	}
}

// sent notes that n bytes more are sent. It returns how many of the bytes in
// clear that completes.
func (s *sealed) sent(n int) (through int) {
	upTo := s.tls.Sent(n)
	done := 0
	for done < s.n && s.records[done].end <= upTo {
		through += s.records[done].plain
		done++
	}
	s.n = copy(s.records[:], s.records[done:s.n])
	s.bytes -= through
	return through
}

// seal makes records of what the vector holds from a position on.
func (s *sealed) seal(v *vector, from int) error {
	left := min(v.bytes-from, sealMax*secure.RecordMax)
	if left <= 0 {
		return nil
	}
	s.tls.Reserve(left)
	at := v.cursor(from)
	var scratch *chunk
	for left > 0 {
		size := min(left, secure.RecordMax)
		plain := at.next(size)
		if len(plain) < size {
			if scratch == nil {
				scratch = newChunk(1, secure.RecordMax)
				defer scratch.free()
			}
			scratch.b = append(scratch.b[:0], plain...)
			for len(scratch.b) < size {
				scratch.b = append(scratch.b, at.next(size-len(scratch.b))...)
			}
			plain = scratch.b
		}
		end, err := s.tls.Seal(plain)
		if err != nil {
			return err
		}
		s.records[s.n] = record{end: end, plain: size}
		s.n++
		s.bytes += size
		left -= size
	}
	return nil
}
