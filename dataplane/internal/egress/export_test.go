package egress

// CrowdMax is the most that Crowd says.
const CrowdMax = crowdMax

// Crowd is how often publishers met at a connection lately.
func (c *Conn) Crowd() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return int(c.crowd)
}

// SetCrowd makes a connection believe so.
func (c *Conn) SetCrowd(n int16) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.crowd = n
}
