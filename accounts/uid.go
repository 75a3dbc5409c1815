package accounts

import (
	"crypto/rand"
	"encoding/base32"
	"encoding/binary"
	"strings"
	"time"

	"github.com/coveymq/covey/internal/errs"
)

// Prefix is the kind that a uid carries in front.
type Prefix string

// The kinds of things that have uids.
const (
	PrefixOrganization Prefix = "org_"
	PrefixAccount      Prefix = "acc_"
	PrefixUser         Prefix = "usr_"
	PrefixCredential   Prefix = "crd_"
	PrefixAPIKey       Prefix = "key_"
	PrefixService      Prefix = "sva_"
	PrefixMember       Prefix = "mem_"
	PrefixInvitation   Prefix = "inv_"
	PrefixShare        Prefix = "shr_"
	PrefixFederation   Prefix = "fed_"
	PrefixAlertPolicy  Prefix = "alp_"
	PrefixAlert        Prefix = "alt_"
	PrefixOperation    Prefix = "opn_"
	PrefixRequest      Prefix = "req_"
)

const (
	uidAlphabet = "0123456789abcdefghijklmnopqrstuv" // base32hex: the text sorts as the bytes do
	uidLength   = 26                                 // characters that 16 bytes take in base32
)

// NewUID returns a new uid: the prefix, then 16 bytes laid out as UUID
// version 7 (48 bits of milliseconds, version, 12 bits of the millisecond's
// fraction, 62 random bits) in lower-case base32hex. Uids of one kind sort by
// the quarter of a microsecond that they were made in.
func NewUID(p Prefix, now time.Time) string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails since Go 1.24
	var ms [8]byte
	binary.BigEndian.PutUint64(ms[:], uint64(now.UnixMilli())) //nolint:gosec // after 1970
	copy(b[:6], ms[2:])
	fraction := now.Nanosecond() % 1e6 * 4096 / 1e6 // 12 bits
	b[6] = byte(fraction>>8) | 0x70                 //nolint:gosec // 4 bits
	b[7] = byte(fraction)                           //nolint:gosec // the low 8 of 12 bits
	b[8] = b[8]&0x3f | 0x80
	return string(p) + uidEncoding().EncodeToString(b[:])
}

// ParseUID checks that s is a uid of kind p.
func ParseUID(p Prefix, s string) error {
	rest, ok := strings.CutPrefix(s, string(p))
	if !ok || len(rest) != uidLength {
		return errs.New(errs.Invalid, "INVALID_UID", "%q is not an id that begins with %q", s, string(p))
	}
	if _, err := uidEncoding().DecodeString(rest); err != nil {
		return errs.New(errs.Invalid, "INVALID_UID", "%q is not an id that begins with %q", s, string(p)).WithCause(err)
	}
	return nil
}

func uidEncoding() *base32.Encoding {
	return base32.NewEncoding(uidAlphabet).WithPadding(base32.NoPadding)
}

// NewestFirst maps a uid to a text of the same length that sorts the other way
// round: the newer the uid, the smaller the text. It is its own inverse.
func NewestFirst(uid string) string {
	prefix, rest, ok := strings.Cut(uid, "_")
	if !ok {
		return uid
	}
	flipped := []byte(rest)
	for i, c := range flipped {
		if at := strings.IndexByte(uidAlphabet, c); at >= 0 {
			flipped[i] = uidAlphabet[len(uidAlphabet)-1-at]
		}
	}
	return prefix + "_" + string(flipped)
}
