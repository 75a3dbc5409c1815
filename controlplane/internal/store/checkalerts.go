package store

import "fmt"

// alertChecker checks that organizations with alert policies are looked at, and
// that what receivers are to be told of is there. It sees the indexes before the
// organizations, as their keys are in order.
type alertChecker struct {
	looked map[string]bool   // organizations that are looked at
	queued map[string]string // key of an alert that a receiver is to be told of: key of that
}

func (c *alertChecker) index(key string, path []string, value []byte) error {
	if c.looked == nil {
		c.looked, c.queued = map[string]bool{}, map[string]string{}
	}
	if path[1] == "alerting" {
		var ref alertingRef
		err := decode(key, value, 0, &ref)
		c.looked[ref.Organization] = true
		return err
	}
	var ref alertNoteRef
	err := decode(key, value, 0, &ref)
	v := &View{org: ref.Organization}
	c.queued[v.alertKey(ref.Alert)] = key
	return err
}

func (c *alertChecker) inOrganization(key string, path []string, value []byte) error {
	switch path[2] {
	case "alert-policy":
		var p AlertPolicy
		if err := decode(key, value, 0, &p); err != nil {
			return err
		}
		if !c.looked[path[1]] {
			return fmt.Errorf("the organization %s has an alert policy, and nobody looks at it", path[1])
		}
	case "alert-mark":
		var m AlertMark
		return decode(key, value, 0, &m)
	case "alert":
		delete(c.queued, key)
		var a Alert
		return decode(key, value, 0, &a)
	}
	return nil
}

func (c *alertChecker) finish() error {
	for alert, queued := range c.queued {
		return fmt.Errorf("%s says that a receiver is to be told of %s, which is not there", queued, alert)
	}
	return nil
}
