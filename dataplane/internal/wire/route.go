package wire

// RouteParser turns what another broker sends over a route into operations. It
// works as Parser does and has the same limits; the routes' operations are
//
//	RS+ [account] subject [queue weight]      RS- [account] subject [queue]
//	LS+ origin [account] subject ...          LS- [origin] [account] subject ...
//	RMSG [account] subject [reply] size
//	RMSG [account] subject + reply queue... size
//	RMSG [account] subject | queue... size
//	HMSG the same, with two sizes
//	A+ account                                A- account
//
// beside CONNECT, INFO, PING, PONG, +OK and -ERR.
type RouteParser struct {
	Parser

	// Dedicated says that the route belongs to one account, which its lines do
	// then not name.
	Dedicated bool

	// Account and Queues belong to the RouteMsg that Next completed. Queues are
	// the groups of which one member each is to get it.
	Account []byte
	Queues  [][]byte

	args []span
}

// span is one field of a line, as offsets.
type span struct{ start, end int }

// Next parses one operation from the front of buf, as Parser.Next does. The
// arguments of subscriptions are left to Args, those of messages are in Op,
// Account and Queues.
func (p *RouteParser) Next(buf []byte) (int, error) {
	if p.skip != None || len(buf) == 0 {
		return p.Parser.Next(buf)
	}
	switch buf[0] {
	case 'R', 'r':
		p.begin()
		if len(buf) > 1 && (buf[1] == 'M' || buf[1] == 'm') {
			return p.message(buf, "RMSG", 1)
		}
		return p.signed(buf, "RS", RouteSub, RouteUnsub)
	case 'H', 'h':
		p.begin()
		return p.message(buf, "HMSG", 2)
	case 'L', 'l':
		p.begin()
		return p.signed(buf, "LS", LeafSub, LeafUnsub)
	case 'A', 'a':
		p.begin()
		return p.signed(buf, "A", AccountSub, AccountUnsub)
	case 'S', 's', 'U', 'u':
		p.begin()
		return 0, ErrUnknownOperation
	case 'P', 'p':
		if len(buf) > 1 && (buf[1] == 'U' || buf[1] == 'u') {
			p.begin()
			return 0, ErrUnknownOperation
		}
	}
	return p.Parser.Next(buf)
}

func (p *RouteParser) begin() {
	p.Op.Kind = None
	p.Need = 0
}

// signed parses a verb that ends in + or -.
func (p *RouteParser) signed(buf []byte, name string, plus, minus Kind) (int, error) {
	if v := verb(buf, name); v != full {
		return 0, v.err()
	}
	n := len(name)
	if len(buf) == n {
		return 0, nil
	}
	kind := plus
	switch buf[n] {
	case '+':
	case '-':
		kind = minus
	default:
		return 0, ErrUnknownOperation
	}
	start, lf, err := p.argument(buf, n+1)
	if lf < 0 || err != nil {
		return 0, err
	}
	p.Op.Kind = kind
	p.Op.Arg = trimCR(buf[start:lf])
	return lf + 1, nil
}

// message parses RMSG and HMSG with their payload.
func (p *RouteParser) message(buf []byte, name string, sizes int) (int, error) {
	if v := verb(buf, name); v != full {
		return 0, v.err()
	}
	start, lf, err := p.argument(buf, len(name))
	if lf < 0 || err != nil {
		return 0, err
	}
	p.split(buf, start, start+len(trimCR(buf[start:lf])))
	first, err := p.routed(buf, sizes)
	if err != nil {
		return 0, err
	}
	body := lf + 1
	end := body + p.Op.Size + 2
	if err := closed(buf, body+p.Op.Size); err != nil {
		return 0, err
	}
	if len(buf) < end {
		p.Need = end
		return 0, nil
	}
	p.Op.Kind = RouteMsg
	p.Op.Body = buf[body:end]
	p.Op.Tail = nil
	if len(p.Queues) == 0 && p.canonical(buf, first, lf) {
		p.Op.Tail = buf[p.args[first].start:end]
	}
	return end, nil
}

// split fills args with the fields of buf[from:to].
func (p *RouteParser) split(buf []byte, from, to int) {
	p.args = p.args[:0]
	for i := from; i < to; {
		for i < to && (buf[i] == ' ' || buf[i] == '\t') {
			i++
		}
		start := i
		for i < to && buf[i] != ' ' && buf[i] != '\t' {
			i++
		}
		if i > start {
			p.args = append(p.args, span{start, i})
		}
	}
}

func (p *RouteParser) arg(buf []byte, i int) []byte { return buf[p.args[i].start:p.args[i].end] }

// routed reads the arguments of a message. It returns which of them is the
// first behind the subject.
func (p *RouteParser) routed(buf []byte, sizes int) (first int, err error) {
	p.Account, p.Queues = nil, p.Queues[:0]
	if !p.Dedicated {
		first = 1
	}
	first++ // the subject
	last := len(p.args) - sizes
	if last < first {
		return 0, ErrArguments
	}
	if !p.Dedicated {
		p.Account = p.arg(buf, 0)
	}
	p.Op.Subject, p.Op.Reply = p.arg(buf, first-1), nil
	// One field in between is a reply, even if it looks like a mark.
	switch last - first {
	case 0:
	case 1:
		p.Op.Reply = p.arg(buf, first)
	default:
		queues := first + 1
		switch mark := p.arg(buf, first); string(mark) {
		case "+":
			p.Op.Reply = p.arg(buf, queues)
			queues++
		case "|":
		default:
			return 0, ErrArguments
		}
		for i := queues; i < last; i++ {
			p.Queues = append(p.Queues, p.arg(buf, i))
		}
	}
	return first, p.sizes(buf, last, sizes)
}

func (p *RouteParser) sizes(buf []byte, at, sizes int) error {
	p.Op.HeaderLen = -1
	if sizes == 2 {
		p.Op.HeaderLen = parseSize(p.arg(buf, at))
		if p.Op.HeaderLen < 0 {
			return ErrArguments
		}
		at++
	}
	p.Op.Size = parseSize(p.arg(buf, at))
	if p.Op.Size < 0 || p.Op.HeaderLen > p.Op.Size {
		return ErrArguments
	}
	if p.MaxPayload >= 0 && p.Op.Size > p.MaxPayload {
		return ErrMaxPayload
	}
	return nil
}

// canonical reports whether the fields from first on are separated by one blank
// each and end in CRLF at lf, so that they may be sent on as they are.
func (p *RouteParser) canonical(buf []byte, first, lf int) bool {
	for i := first; i < len(p.args)-1; i++ {
		if p.args[i].end+1 != p.args[i+1].start || buf[p.args[i].end] != ' ' {
			return false
		}
	}
	return p.args[len(p.args)-1].end == lf-1 && buf[lf-1] == '\r'
}
