package meter

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/google/uuid"
)

// Sizes of the file's parts, in bytes. A change of any needs a new formatVersion.
const (
	formatVersion = 1
	headerSize    = 4096      // one page, so that segments can be mapped on their own
	segmentSize   = 256 << 10 // 2,047 records or 4,094 intents
	segmentPrefix = 128       // the segment's kind, and room to keep records aligned
	recordSize    = 128       // never straddles a page
	intentSize    = 64        // a cache line, so that connections do not disturb each other
	accountSize   = 56        // an account's public key
	classSize     = 16
)

// The segment kinds. Zero is a segment that was allocated and not yet used.
const (
	kindRecords = 1
	kindIntents = 2
)

// The states of a record.
const (
	recordFree = 0
	recordLive = 1
)

// The words of a record, and of Series.Counts.
const (
	wordPublished = iota
	wordDelivered
	wordPublishedBytes
	wordDeliveredBytes
	wordCount
)

const magic = "COVEYUSE"

// header is the first page of the file. All but forgotten is written before
// the file gets its name, and never again.
type header struct {
	magic       [8]byte
	version     uint32
	segmentSize uint32
	incarnation [36]byte
	_           uint32
	started     int64 // Unix nanoseconds
	bootID      [36]byte
	sum         uint32       // CRC-32C of everything above
	forgotten   atomic.Int64 // records of this hour and older do not count any more
}

// headerSummed is how many bytes of the header its sum covers.
const headerSummed = int(unsafe.Offsetof(header{}.sum))

// record holds one account's counters of one hour. Account and class change
// only while the state is free.
type record struct {
	state   atomic.Uint64
	self    uint64 // its own offset in the file
	window  atomic.Int64
	words   [wordCount]atomic.Uint64
	class   [classSize]byte
	account [accountSize]byte
}

// intentSlot says what one connection is handing to the kernel right now.
type intentSlot struct {
	record   atomic.Uint64 // offset of the record that will be added to; 0 when idle
	messages atomic.Uint64
	bytes    atomic.Uint64
	_        [5]uint64
}

func (r *record) counts() (c [wordCount]uint64) {
	for i := range c {
		c[i] = r.words[i].Load()
	}
	return c
}

func (r *record) zero() bool { return r.counts() == [wordCount]uint64{} }

var castagnoli = crc32.MakeTable(crc32.Castagnoli) //nolint:gochecknoglobals // constant

// writeHeader fills page with the header of a new file.
func writeHeader(page []byte, incarnation string, started time.Time, boot string) {
	h := (*header)(unsafe.Pointer(&page[0]))
	copy(h.magic[:], magic)
	h.version = formatVersion
	h.segmentSize = segmentSize
	copy(h.incarnation[:], incarnation)
	h.started = started.UnixNano()
	copy(h.bootID[:], boot)
	h.sum = crc32.Checksum(page[:headerSummed], castagnoli)
}

// Why a file cannot be adopted.
var (
	errTooShort = errors.New("shorter than a header")
	errNotOurs  = errors.New("not a usage file")
	errVersion  = errors.New("written by another version, or on a machine of another byte order")
	errHeader   = errors.New("header is damaged")
)

// contents is what a usage file says, read after its writer is gone.
type contents struct {
	incarnation        string
	started            time.Time
	bootID             string
	series             []Series
	unresolvedMessages uint64
	unresolvedBytes    uint64
	damaged            int // records and intents that make no sense, left out
}

// parse reads a whole usage file. It never trusts a byte: whatever the file
// holds, the answer is an error or series that could have been counted.
func parse(file []byte) (*contents, error) {
	if len(file) < headerSize {
		return nil, errTooShort
	}
	var h struct {
		Magic                [8]byte
		Version, SegmentSize uint32
		Incarnation          [36]byte
		_                    uint32
		Started              int64
		BootID               [36]byte
		Sum                  uint32
		Forgotten            int64
	}
	if _, err := binary.Decode(file, binary.NativeEndian, &h); err != nil {
		return nil, errHeader
	}
	switch {
	case string(h.Magic[:]) != magic:
		return nil, errNotOurs
	case h.Version != formatVersion || h.SegmentSize != segmentSize:
		return nil, errVersion
	case h.Sum != crc32.Checksum(file[:headerSummed], castagnoli):
		return nil, errHeader
	}
	id, err := uuid.ParseBytes(h.Incarnation[:])
	if err != nil {
		return nil, errHeader
	}
	c := &contents{incarnation: id.String(), started: time.Unix(0, h.Started), bootID: text(h.BootID[:])}
	c.readSegments(file, h.Forgotten)
	return c, nil
}

func (c *contents) readSegments(file []byte, forgotten int64) {
	seen := make(map[seriesKey]bool)
	for base := headerSize; base+segmentSize <= len(file); base += segmentSize {
		seg := file[base : base+segmentSize]
		switch binary.NativeEndian.Uint64(seg) {
		case kindRecords:
			for off := segmentPrefix; off+recordSize <= segmentSize; off += recordSize {
				c.readRecord(seg[off:off+recordSize], uint64(base+off), forgotten, seen)
			}
		case kindIntents:
			for off := segmentPrefix; off+intentSize <= segmentSize; off += intentSize {
				c.readIntent(seg[off : off+intentSize])
			}
		}
	}
}

func (c *contents) readRecord(b []byte, self uint64, forgotten int64, seen map[seriesKey]bool) {
	u64 := binary.NativeEndian.Uint64
	window := int64(u64(b[16:]))
	if u64(b) == recordFree || window <= forgotten {
		return
	}
	s := Series{Account: text(b[72:128]), Class: text(b[56:72]), Window: window}
	for i := range s.Counts {
		s.Counts[i] = u64(b[24+8*i:])
	}
	if s.Counts == (Counts{}) {
		return
	}
	if u64(b) != recordLive || u64(b[8:]) != self || window%secondsPerHour != 0 ||
		!plain(s.Account) || !plain(s.Class) || seen[s.key()] || s.Counts.overflows() {
		c.damaged++
		return
	}
	seen[s.key()] = true
	c.series = append(c.series, s)
}

func (c *contents) readIntent(b []byte) {
	u64 := binary.NativeEndian.Uint64
	if u64(b) == 0 {
		return
	}
	messages, size := u64(b[8:]), u64(b[16:])
	if messages > intentMax || size > intentMax {
		c.damaged++
		return
	}
	c.unresolvedMessages += messages
	c.unresolvedBytes += size
}

// intentMax is more than one flush of a connection can hold; what claims more
// is damage.
const intentMax = 1 << 40

// text returns b up to its first zero byte.
func text(b []byte) string {
	if i := bytes.IndexByte(b, 0); i >= 0 {
		b = b[:i]
	}
	return string(b)
}

// plain reports whether s is non-empty printable ASCII without spaces.
func plain(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' {
			return false
		}
	}
	return s != ""
}
