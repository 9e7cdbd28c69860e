package resolve

import (
	"net"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"netaudit/attribution"
)

// BenchmarkSearchedCall answers questions about connections on which threads of one process wait, each with a stack of some thirty frames, without the kernel's records.
func BenchmarkSearchedCall(b *testing.B) {
	needRoot(b)
	r := resolver(b)
	const threads = 4
	accept := world(b, `
import socket, threading
def call(port, n):
    if n: return call(port, n - 1)
    s = socket.create_connection(("127.0.0.1", port))
    s.settimeout(3000)
    s.recv(1)
def run(port):
    jobs = [threading.Thread(target=call, args=(port, 20)) for _ in range(4)]
    for j in jobs: j.start()
    for j in jobs: j.join()
`)
	var tuples []attribution.Tuple
	for range threads {
		c := accept()
		tuples = append(tuples, attribution.Tuple{Proto: unix.IPPROTO_TCP, Local: addrPort(c.RemoteAddr()), Remote: addrPort(c.LocalAddr())})
	}
	answer := make(chan attribution.Owner, 1)
	n := 0
	b.ReportAllocs()
	before := ownTime()
	for b.Loop() {
		if !r.Ask(tuples[n%threads], func(o attribution.Owner) { answer <- o }) {
			b.Fatal("the question was not taken")
		}
		if o := <-answer; o.Addon == nil || o.Addon.Name != "caller" || o.Evidence.Source != attribution.SourceThread {
			b.Fatalf("addon %+v, evidence %+v", o.Addon, o.Evidence)
		}
		n++
	}
	b.ReportMetric(float64((ownTime()-before).Nanoseconds())/float64(n), "cpu-ns/op")
}

func addrPort(a net.Addr) netip.AddrPort { return netip.MustParseAddrPort(a.String()) }

// ownTime is the processor time of this process.
func ownTime() time.Duration {
	var u unix.Rusage
	if unix.Getrusage(unix.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
