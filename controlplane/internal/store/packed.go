package store

import (
	"bytes"
	_ "embed"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/klauspost/compress/zstd"
)

const (
	packedFrom  = 64      // shorter records are kept as they are
	unpackedMax = 8 << 20 // no record is larger; etcd takes 1.5 MB

	// dictionaryOne is the number that is in every record packed with
	// dictionary1. Another text gets another number, and this one stays.
	dictionaryOne = 1
)

// dictionary1 is what records have in common: the names of their fields, and
// what often stands between them. It is never changed, because records in
// stores were packed with it.
//
//go:embed dictionary1.txt
var dictionary1 []byte

// packer is the means of packing: one each for the process, because they are
// large and may be shared.
type packer struct {
	zip   *zstd.Encoder
	unzip *zstd.Decoder
}

var packing = sync.OnceValues(func() (packer, error) { //nolint:gochecknoglobals // immutable once made, and too large for one each
	zip, err := zstd.NewWriter(nil, zstd.WithEncoderDictRaw(dictionaryOne, dictionary1), zstd.WithEncoderLevel(zstd.SpeedFastest),
		zstd.WithEncoderCRC(false), zstd.WithSingleSegment(true), zstd.WithLowerEncoderMem(true))
	if err != nil {
		return packer{}, fmt.Errorf("make packer: %w", err)
	}
	unzip, err := zstd.NewReader(nil, zstd.WithDecoderDictRaw(dictionaryOne, dictionary1),
		zstd.WithDecoderMaxMemory(unpackedMax), zstd.WithDecoderConcurrency(0))
	if err != nil {
		return packer{}, fmt.Errorf("make unpacker: %w", err)
	}
	return packer{zip, unzip}, nil
})

// packedMark opens a packed record; no JSON begins like it.
const packedMark = "\x28\xb5\x2f\xfd"

var errPacked = errors.New("record cannot be unpacked")

// pack makes a record smaller, if it gets smaller. What programs of every
// version must be able to read stays as it is, and so does what the fleet
// service reads by itself.
func pack(key, text string) (string, error) {
	if len(text) < packedFrom || strings.HasPrefix(key, root+"sys/") || strings.HasPrefix(key, FleetPrefix) {
		return text, nil
	}
	p, err := packing()
	if err != nil {
		return "", err
	}
	if small := p.zip.EncodeAll([]byte(text), make([]byte, 0, len(text))); len(small) < len(text) {
		return string(small), nil
	}
	return text, nil
}

// unpack returns what pack was given; older records were never packed.
func unpack(value []byte) ([]byte, error) {
	if !bytes.HasPrefix(value, []byte(packedMark)) {
		return value, nil
	}
	p, err := packing()
	if err != nil {
		return nil, err
	}
	text, err := p.unzip.DecodeAll(value, nil)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errPacked, err)
	}
	return text, nil
}
