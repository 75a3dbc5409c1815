package auditlog

import "context"

// Turn makes one turn of Run.
func (l *Log) Turn(ctx context.Context) { l.turn(ctx) }
