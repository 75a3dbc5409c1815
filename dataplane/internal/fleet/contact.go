package fleet

import (
	"os"
	"path/filepath"
	"time"
)

const contactFile = "contact.json"

// contact is when the control plane was last heard, and how long after that the
// broker may serve alone. It is stored as JSON, so that it outlives the process.
type contact struct {
	Last  time.Time     `json:"last"`
	Grace time.Duration `json:"grace_ns"`
}

// readContact returns the zero contact, which allows nothing, if there is none.
func readContact(dir string) contact {
	var c contact
	if err := readJSON(filepath.Join(dir, contactFile), &c); err != nil {
		return contact{}
	}
	if now := time.Now(); c.Last.After(now) {
		c.Last = now
	}
	return c
}

func (c contact) until() time.Time {
	if c.Last.IsZero() {
		return time.Time{}
	}
	return c.Last.Add(c.Grace)
}

// ServeUntil is until when the broker may serve if it hears nothing more from
// the control plane. The zero time means not at all.
func (c *Client) ServeUntil() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.phase == online {
		c.contact.Last = time.Now()
	}
	return c.contact.until()
}

// heard notes that the control plane is there, and returns what to write down.
func (c *Client) heard(grace time.Duration) contact {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.contact.Last = time.Now()
	if grace > 0 {
		c.contact.Grace = grace
	}
	return c.contact
}

func (c *Client) saveContact(now contact) error {
	return writeJSON(filepath.Join(c.cfg.StateDir, contactFile), now)
}

// forgetContact ends the right to serve alone: the broker said that it exits.
func (c *Client) forgetContact() error {
	c.mu.Lock()
	c.contact = contact{}
	c.mu.Unlock()
	return os.Remove(filepath.Join(c.cfg.StateDir, contactFile))
}
