package fleet

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
)

// ack is what one session acknowledged last.
type ack struct {
	revision int64
	at       time.Time
}

// A table holds what the sessions at one control plane acknowledged. Sessions
// are grouped by revision, because nearly all have acknowledged the same one, so
// that a fleet of a thousand brokers takes a few kilobytes.
type table struct {
	Acknowledged []tableRow `json:"acknowledged"`
}

type tableRow struct {
	Revision int64 `json:"revision"`
	Time     int64 `json:"time"` // of the first of them, in Unix milliseconds
	// Sessions are pairs: the session's number, and how many milliseconds after
	// Time it acknowledged.
	Sessions [][2]int64 `json:"sessions"`
}

// sessionName is what the lease key and the broker's record say of a session.
func sessionName(plane string, number int64) string {
	return plane + "/" + strconv.FormatInt(number, 10)
}

// planeOf returns at which control plane a session is; "" if it was begun by a
// program that knew no tables.
func planeOf(session string) string {
	plane, _, found := strings.Cut(session, "/")
	if !found {
		return ""
	}
	return plane
}

// encodeTable writes a table of sessions by number.
func encodeTable(acks map[int64]ack) (string, error) {
	rows := make(map[int64]*tableRow)
	for number, a := range acks {
		row := rows[a.revision]
		if row == nil {
			row = &tableRow{Revision: a.revision, Time: a.at.UnixMilli()}
			rows[a.revision] = row
		}
		row.Time = min(row.Time, a.at.UnixMilli())
		row.Sessions = append(row.Sessions, [2]int64{number, a.at.UnixMilli()})
	}
	var t table
	for _, row := range rows {
		for i := range row.Sessions {
			row.Sessions[i][1] -= row.Time
		}
		slices.SortFunc(row.Sessions, func(a, b [2]int64) int { return cmp.Compare(a[0], b[0]) })
		t.Acknowledged = append(t.Acknowledged, *row)
	}
	slices.SortFunc(t.Acknowledged, func(a, b tableRow) int { return cmp.Compare(a.Revision, b.Revision) })
	text, err := json.Marshal(t)
	if err != nil {
		return "", fmt.Errorf("encode acknowledgements: %w", err)
	}
	return string(text), nil
}

// decodeTables reads the tables of all control planes: acknowledgements by the
// session's name.
func decodeTables(kvs []*mvccpb.KeyValue) (map[string]ack, error) {
	acks := make(map[string]ack)
	for _, kv := range kvs {
		plane := string(kv.Key[len(acksPrefix):])
		var t table
		if err := json.Unmarshal(kv.Value, &t); err != nil {
			return nil, fmt.Errorf("decode acknowledgements of %s: %w", plane, err)
		}
		for _, row := range t.Acknowledged {
			for _, s := range row.Sessions {
				acks[sessionName(plane, s[0])] = ack{row.Revision, time.UnixMilli(row.Time + s[1]).UTC()}
			}
		}
	}
	return acks, nil
}

// acknowledge takes into a broker's record what its session acknowledged since
// the record was written. Only the session that the record names counts, and
// none does while the lease is another's.
func (b *Broker) acknowledge(acks map[string]ack, lease string) {
	if b.Session == "" || lease != "" && lease != b.Session {
		return
	}
	if a, ok := acks[b.Session]; ok && a.revision > b.AckedRevision {
		b.AckedRevision, b.AckTime = a.revision, a.at
	}
}
