package appliance

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"netaudit/appliance/recorder"
	"netaudit/attribution"
	"netaudit/attribution/party"
	"netaudit/attribution/resolve"
	"netaudit/ledger"
	"netaudit/tap"
)

// Connection is one that is open now, and who stands behind it.
type Connection struct {
	Local, Remote netip.AddrPort
	State         string // as ss(8) writes it
	Inbound       bool   // this host accepted it: Local is the server's end
	Party         attribution.Party
	Owner         attribution.Owner

	orphan bool // no process holds it: nobody has accepted it yet, or it is being closed
}

// Event is the connection in the form of a row, see docs/events.md. It is in no log.
func (c *Connection) Event() ledger.Event {
	e := ledger.Event{
		V: 1, Kind: "flow", State: "open", Channel: "tcp", Direction: "outbound", Src: endpointOf(c.Local), Dst: endpointOf(c.Remote),
		Party: &ledger.Party{Class: c.Party.Class, Name: c.Party.Name, Rule: c.Party.Rule},
	}
	if c.Inbound {
		e.Direction, e.Src, e.Dst = "inbound", e.Dst, e.Src
	}
	recorder.AddOwner(&e, &c.Owner)
	return e
}

func endpointOf(a netip.AddrPort) *ledger.Endpoint {
	return &ledger.Endpoint{IP: a.Addr().String(), Port: int(a.Port()), HasPort: true}
}

// Who lists the TCP connections of a network namespace ("" is netaudit's own) with those who use them now. Connections between two sockets
// of this host are left out unless all is set. It sends nothing and keeps nothing.
func Who(ctx context.Context, netnsPath string, parties *party.Catalogue, all bool) ([]Connection, error) {
	list, err := openConnections(netnsPath, all)
	if err != nil {
		return nil, err
	}
	inode, err := netNSInode(netnsPath)
	if err != nil {
		return nil, err
	}
	resolver, err := resolve.New(resolve.Config{Workers: 16, Queue: len(list) + 1})
	if err != nil {
		return nil, fmt.Errorf("prepare attribution: %w", err)
	}
	running, stop := context.WithCancel(ctx)
	var workers, answers sync.WaitGroup
	workers.Go(func() { _ = resolver.Run(running) }) // it ends with stop, and that is its only error
	for i := range list {
		c := &list[i]
		c.Party = parties.Match("", c.Remote.Addr())
		if c.orphan {
			c.Owner.Evidence = attribution.Evidence{Source: attribution.SourceNone, Confidence: attribution.ConfidenceUnknown, Reason: "no process holds it: not accepted yet, or being closed"}
			continue
		}
		answers.Add(1)
		tuple := attribution.Tuple{Proto: unix.IPPROTO_TCP, Local: c.Local, Remote: c.Remote, NetNS: inode}
		answered := func(o attribution.Owner) {
			c.Owner = o
			answers.Done()
		}
		asked := false
		if c.Inbound {
			asked = resolver.AskInbound(tuple, answered)
		} else {
			asked = resolver.AskUser(tuple, time.Now(), answered)
		}
		if !asked {
			answers.Done()
		}
	}
	answers.Wait()
	stop()
	workers.Wait()
	if list, err = withoutEnded(list, netnsPath, all); err != nil {
		return nil, err
	}
	return list, ctx.Err()
}

// withoutEnded leaves out the connections that were closed before anybody was seen using them, and says in which state the others are by now.
func withoutEnded(list []Connection, netnsPath string, all bool) ([]Connection, error) {
	now, err := openConnections(netnsPath, all)
	if err != nil {
		return nil, err
	}
	type ends struct{ local, remote netip.AddrPort }
	open := map[ends]string{}
	for _, c := range now {
		open[ends{c.Local, c.Remote}] = c.State
	}
	list = slices.DeleteFunc(list, func(c Connection) bool { return c.Owner.Addon == nil && open[ends{c.Local, c.Remote}] == "" })
	for i := range list {
		list[i].State = cmp.Or(open[ends{list[i].Local, list[i].Remote}], "closed now")
	}
	return list, nil
}

// tcpStates are the states of connections that are being made or used (include/net/tcp_states.h), as ss(8) writes them.
var tcpStates = map[uint8]string{
	netlink.TCP_ESTABLISHED: "established", netlink.TCP_SYN_SENT: "syn-sent", netlink.TCP_FIN_WAIT1: "fin-wait-1", netlink.TCP_FIN_WAIT2: "fin-wait-2",
	netlink.TCP_CLOSE_WAIT: "close-wait", netlink.TCP_LAST_ACK: "last-ack", netlink.TCP_CLOSING: "closing",
}

func openConnections(netnsPath string, all bool) ([]Connection, error) {
	var sockets []*netlink.Socket
	err := tap.InNamespace(netnsPath, func() error {
		for _, family := range []uint8{unix.AF_INET, unix.AF_INET6} {
			found, err := netlink.SocketDiagTCP(family)
			if err != nil {
				return fmt.Errorf("ask the kernel for its connections: %w", err)
			}
			sockets = append(sockets, found...)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	listening := map[uint16]bool{}
	for _, s := range sockets {
		if s.State == netlink.TCP_LISTEN {
			listening[s.ID.SourcePort] = true
		}
	}
	var list []Connection
	for _, s := range sockets {
		c, ok := connectionOf(s)
		c.Inbound, c.orphan = listening[s.ID.SourcePort], s.INode == 0
		if ok && (all || !c.Remote.Addr().IsLoopback()) {
			list = append(list, c)
		}
	}
	slices.SortFunc(list, func(a, b Connection) int { return cmp.Or(a.Remote.Compare(b.Remote), a.Local.Compare(b.Local)) })
	return list, nil
}

func connectionOf(s *netlink.Socket) (c Connection, ok bool) {
	if c.State, ok = tcpStates[s.State]; !ok {
		return c, false
	}
	local, ok1 := netip.AddrFromSlice(s.ID.Source)
	remote, ok2 := netip.AddrFromSlice(s.ID.Destination)
	c.Local, c.Remote = netip.AddrPortFrom(local.Unmap(), s.ID.SourcePort), netip.AddrPortFrom(remote.Unmap(), s.ID.DestinationPort)
	return c, ok1 && ok2
}
