// Package audit defines the entries of the audit log and the hash chain that
// binds them. It stores nothing: the store commits an entry in the same
// transaction as the change that it tells of.
package audit

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"
)

// Entry tells of one change: who did what to which resource. Hash covers every
// other field and the hash before it.
type Entry struct {
	Sequence  int64     `json:"sequence"`
	Time      time.Time `json:"time"`
	Actor     string    `json:"actor"`               // the API key's id, or "system"
	Method    string    `json:"method"`              // for example SuspendAccount
	Target    string    `json:"target"`              // the resource's name
	RequestID string    `json:"request_id"`          // the caller's or ours
	Operation string    `json:"operation,omitempty"` // the operation that it began
	Reason    string    `json:"reason,omitempty"`    // as the caller gave it
	Refusals  []Refusal `json:"refusals,omitempty"`  // what brokers refused, if that is what it tells
	Digest    string    `json:"digest"`              // SHA-256 over all that was written
	Previous  string    `json:"previous"`            // hash of the entry before
	Hash      string    `json:"hash"`
}

// Refusal is what brokers refused one user for one reason, and how often.
type Refusal struct {
	Account string    `json:"account,omitempty"` // public keys, as the user's JWT says
	User    string    `json:"user,omitempty"`
	Kind    string    `json:"kind"`
	Reason  string    `json:"reason"`
	Count   int64     `json:"count"`
	First   time.Time `json:"first"` // whole seconds, UTC
	Last    time.Time `json:"last"`
}

// Head is the end of a chain. The zero Head is an empty chain.
type Head struct {
	Sequence int64  `json:"sequence"`
	Hash     string `json:"hash"`
}

// Append puts e at the end of the chain and returns it, complete, with the new
// head.
func (h Head) Append(e Entry) (Entry, Head, error) {
	e.Sequence, e.Previous, e.Hash = h.Sequence+1, h.Hash, ""
	hash, err := e.hash()
	if err != nil {
		return Entry{}, Head{}, err
	}
	e.Hash = hash
	return e, Head{Sequence: e.Sequence, Hash: hash}, nil
}

// Verify checks that entries continue the chain from h, and returns the head
// after them.
func (h Head) Verify(entries []Entry) (Head, error) {
	for _, e := range entries {
		if e.Sequence != h.Sequence+1 || e.Previous != h.Hash {
			return h, fmt.Errorf("audit entry %d does not follow entry %d", e.Sequence, h.Sequence)
		}
		hash, err := e.hash()
		if err != nil {
			return h, err
		}
		if hash != e.Hash {
			return h, fmt.Errorf("audit entry %d was changed", e.Sequence)
		}
		h = Head{Sequence: e.Sequence, Hash: e.Hash}
	}
	return h, nil
}

func (e Entry) hash() (string, error) {
	e.Hash = ""
	e.Time = e.Time.UTC()
	text, err := json.Marshal(e)
	if err != nil {
		return "", fmt.Errorf("encode audit entry: %w", err)
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:]), nil
}
