package backup

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"hash"
	"io"
	"strings"

	"github.com/coveymq/covey/internal/errs"
)

// Check reads a whole backup, calls each for every key, and returns its header
// if it is complete and undamaged. What each was called with is good only then.
func Check(r io.Reader, each func(key, value string) error) (Header, int64, error) {
	return read(r, func(l line) error { return each(l.Key, l.value()) })
}

func read(r io.Reader, each func(line) error) (Header, int64, error) {
	var h Header
	zip, err := gzip.NewReader(r)
	if err != nil {
		return h, 0, damaged("it is not compressed by gzip").WithCause(err)
	}
	lines := bufio.NewScanner(zip)
	lines.Buffer(make([]byte, 0, 64<<10), lineMax)
	sum := sha256.New()
	if h, err = header(lines, sum); err != nil {
		return h, 0, err
	}
	keys, last := int64(0), ""
	for lines.Scan() {
		var l line
		if err := strict(lines.Bytes(), &l); err != nil {
			return h, keys, damaged("a line is not one of a backup").WithCause(err)
		}
		if l.Keys != nil {
			return h, keys, atEnd(lines, l, keys, sum)
		}
		if !strings.HasPrefix(l.Key, prefix) || l.Key <= last {
			return h, keys, damaged("its keys are not in order")
		}
		keys, last = keys+1, l.Key
		add(sum, lines.Bytes())
		if err := each(l); err != nil {
			return h, keys, err
		}
	}
	if err := lines.Err(); err != nil {
		return h, keys, damaged("it cannot be read to its end").WithCause(err)
	}
	return h, keys, damaged("its end is missing")
}

func header(lines *bufio.Scanner, sum hash.Hash) (Header, error) {
	var h Header
	if !lines.Scan() || strict(lines.Bytes(), &h) != nil || h.Format != format {
		return h, damaged("it does not begin as a backup does").WithCause(lines.Err())
	}
	if h.Version != version {
		return h, errs.New(errs.Invalid, "BACKUP_NEWER", "the backup has format %d, and this version of Covey reads %d", h.Version, version).
			WithNext("use the version of Covey that wrote it")
	}
	add(sum, lines.Bytes())
	return h, nil
}

func atEnd(lines *bufio.Scanner, l line, keys int64, sum hash.Hash) error {
	switch {
	case *l.Keys != keys:
		return damaged("keys are missing")
	case l.SHA256 != hex.EncodeToString(sum.Sum(nil)):
		return damaged("its hash is another one")
	case lines.Scan():
		return damaged("something comes after its end")
	case lines.Err() != nil:
		return damaged("it cannot be read to its end").WithCause(lines.Err())
	}
	return nil
}

func add(sum hash.Hash, text []byte) {
	_, _ = sum.Write(text)
	_, _ = sum.Write([]byte("\n"))
}

var errTrailing = errors.New("more than one value")

func strict(text []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return err
	}
	if d.More() {
		return errTrailing
	}
	return nil
}
