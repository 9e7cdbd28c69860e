package dissect

import "net/netip"

// announcements are conversations that another one has said will follow: FTP's data connections, the answers of TFTP. Their first bytes tell nothing. The two hosts of the one that announces are
// believed for themselves alone, whatever address they write: nobody can give a name to what others do. One engine owns them.
type announcements struct {
	list map[announcement]announced
	ring [mostAnnounced]announcement
	next int
}

// announcement is a conversation to come: who calls whom at which port.
type announcement struct {
	from, to netip.Addr
	port     uint16
	proto    uint8
	path     uint64 // VLANs and tunnels
}

type announced struct {
	channel string
	until   int64 // nanoseconds since the Unix epoch
}

const (
	mostAnnounced = 1024            // the oldest makes room
	announcedFor  = int64(60 * 1e9) // nanoseconds; clients connect at once
)

// announce notes that the other side will call a port of side to.
func (e *Engine) announce(c *conn, to int, port uint16, channel string, now int64) {
	l := &e.announced
	ends := [2]netip.Addr{c.flow.Src.Addr(), c.flow.Dst.Addr()}
	n := announcement{ends[1-to], ends[to], port, c.flow.Proto, c.key.path}
	if l.list == nil {
		l.list = map[announcement]announced{}
	}
	if _, known := l.list[n]; !known {
		delete(l.list, l.ring[l.next])
		l.ring[l.next] = n
		l.next = (l.next + 1) % len(l.ring)
	}
	l.list[n] = announced{channel, now + announcedFor}
}

// claim says as what a conversation that begins was announced, "" when nobody did.
func (l *announcements) claim(c *conn) string {
	if len(l.list) == 0 {
		return ""
	}
	f := &c.flow
	a, ok := l.list[announcement{f.Src.Addr(), f.Dst.Addr(), f.Dst.Port(), f.Proto, c.key.path}]
	if !ok || f.Start > a.until {
		return ""
	}
	return a.channel
}
