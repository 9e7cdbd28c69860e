package dissect

import (
	"net/netip"
	"strconv"
	"sync"
	"sync/atomic"
)

// announcements are conversations that another one has said will follow: FTP's data connections, the answers of TFTP. Their first bytes tell nothing. The two hosts of the one that announces are
// believed for themselves alone, whatever address they write: nobody can give a name to what others do. Safe for concurrent use: where several engines share an interface's frames, the kernel may
// give both conversations to different ones.
type announcements struct {
	until atomic.Int64 // when the last one ends, nanoseconds since the Unix epoch: most hosts have none, and ask nothing
	mu    sync.Mutex   // guards the rest
	list  map[announcement]announced
	ring  [mostAnnounced]announcement
	next  int
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
	by      string // the conversation that said so, see Flow.AnnouncedBy
	until   int64  // nanoseconds since the Unix epoch
}

const (
	mostAnnounced = 1024            // the oldest makes room
	announcedFor  = int64(60 * 1e9) // nanoseconds; clients connect at once
)

// announce notes that the other side will call a port of side to.
func (e *Engine) announce(c *conn, to int, port uint16, channel string, now int64) {
	ends := [2]netip.Addr{c.flow.Src.Addr(), c.flow.Dst.Addr()}
	by := e.config.RunID + "-" + strconv.FormatUint(c.flow.ID, 36)
	e.announced[c.shard].add(announcement{ends[1-to], ends[to], port, c.flow.Proto, c.key.path}, announced{channel, by, now + announcedFor})
}

func (l *announcements) add(n announcement, what announced) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.list == nil {
		l.list = map[announcement]announced{}
	}
	if _, known := l.list[n]; !known {
		delete(l.list, l.ring[l.next])
		l.ring[l.next] = n
		l.next = (l.next + 1) % len(l.ring)
	}
	l.list[n] = what
	l.until.Store(max(what.until, l.until.Load()))
}

// claim names a conversation as it was announced, and by whom; false when nobody did.
func (l *announcements) claim(c *conn) bool {
	f := &c.flow
	if f.Start > l.until.Load() {
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	a, ok := l.list[announcement{f.Src.Addr(), f.Dst.Addr(), f.Dst.Port(), f.Proto, c.key.path}]
	if !ok || f.Start > a.until {
		return false
	}
	f.Channel, f.AnnouncedBy = a.channel, a.by
	return true
}
