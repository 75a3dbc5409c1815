// Package backup copies the control plane's store to a file and back.
//
// A backup is lines of JSON, compressed with gzip:
//
//	{"format":"covey-backup","version":1,...}    the header
//	{"k":"/covey/v1/...","v":"..."}              each key and its value, in order
//	{"k":...,"v":...,"ttl":3600}                 a key that ends by itself, in seconds
//	{"keys":123,"sha256":"..."}                  the end: the hash of all lines before
//
// It holds the store as it was at one revision, but for what only tells which
// processes are there (leases of brokers and what they acknowledged, the
// election). Secrets in it are
// sealed, as in the store: without the key custodian's key they are of no use
// to anybody.
//
// It knows nothing of what records say.
package backup

import (
	"time"

	"github.com/coveymq/covey/internal/errs"
)

const (
	format  = "covey-backup"
	version = 1

	prefix = "/covey/v1/"
	// presence is what tells of processes.
	fleetLeases = prefix + "fleet/lease/"
	fleetAcks   = prefix + "fleet/acks/"  // and what they acknowledged, of this history only
	stockStatus = prefix + "fleet/stock/" // revisions of the old etcd mean nothing in the new one
	elections   = prefix + "sys/leader"
	brokers     = prefix + "fleet/broker/"

	// RestoreKey is there while a restore is under way, or was cut off.
	RestoreKey = prefix + "sys/restore"

	lineMax = 8 << 20 // of one line; etcd takes values of 1.5 MB
)

// Header is what a backup is of.
type Header struct {
	Format       string    `json:"format"`
	Version      int       `json:"version"`
	Revision     int64     `json:"revision"` // of etcd, as of which everything is
	Time         time.Time `json:"time"`
	Schema       int       `json:"schema"`       // of the records
	Installation string    `json:"installation"` // its id
}

// line is a key, or the end.
type line struct {
	Key    string `json:"k,omitempty"`
	Value  string `json:"v,omitempty"`
	Binary []byte `json:"b,omitempty"` // instead of Value where that is no text
	TTL    int64  `json:"ttl,omitempty"`

	Keys   *int64 `json:"keys,omitempty"`
	SHA256 string `json:"sha256,omitempty"`
}

func (l line) value() string {
	if l.Binary != nil {
		return string(l.Binary)
	}
	return l.Value
}

func damaged(why string) *errs.Error {
	return errs.New(errs.Invalid, "BACKUP_DAMAGED", "the backup is damaged: %s", why).WithNext("use another one")
}
