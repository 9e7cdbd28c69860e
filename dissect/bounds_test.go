package dissect

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"netaudit/tap"
	"netaudit/tap/decode"
)

// TestHostileStreamsCostNoMoreThanTheirLength: for each way to make a parser keep or search what it has, twice the packets may cost twice the memory traffic and
// not four times. Allocation stands for work: what is searched was first kept, and everything that is kept is bounded.
func TestHostileStreamsCostNoMoreThanTheirLength(t *testing.T) {
	for name, payload := range map[string]func(i, n int) (offset uint32, data []byte){
		"byte by byte":         func(i, _ int) (uint32, []byte) { return uint32(i), []byte{'x'} },
		"backwards":            func(i, n int) (uint32, []byte) { return uint32(n-i) * 10, bytes.Repeat([]byte{'x'}, 10) },
		"every second byte":    func(i, _ int) (uint32, []byte) { return uint32(2*i + 1), []byte{'x'} },
		"endless request head": func(i, _ int) (uint32, []byte) { return stream(i, "GET / HTTP/1.1\r\n", "X: y\r\n") },
		"endless chunk size": func(i, _ int) (uint32, []byte) {
			return stream(i, "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", "0")
		},
		"pipelined for ever": func(i, _ int) (uint32, []byte) { return stream(i, "", "GET / HTTP/1.1\r\nHost: a\r\n\r\n") },
		"handshake without end": func(i, _ int) (uint32, []byte) {
			return stream(i, "\x16\x03\x01\x00\x05\x01\x00\xff\xff\x03", "\x16\x03\x01\x00\x01\x00")
		},
		"record without end":        func(i, _ int) (uint32, []byte) { return stream(i, "\x16\x03\x01\x3f\xff\x01", "\x00") },
		"mail line without end":     func(i, _ int) (uint32, []byte) { return stream(i, "EHLO x\r\n", "y") },
		"PostgreSQL without an end": func(i, _ int) (uint32, []byte) { return stream(i, "\x00\x00\x1f\xff\x00\x03\x00\x00", "u") },
	} {
		t.Run(name, func(t *testing.T) {
			cost := func(n int) uint64 {
				w := newWire(t)
				packets := []tap.Packet{w.tcp(true, 999, 0, "S", nil), w.tcp(false, 4999, 1000, "SA", nil)}
				if name == "mail line without end" {
					packets = append(packets, w.tcp(false, 5000, 1000, "PA", []byte("220 mx.example\r\n")))
				}
				for i := range n {
					offset, data := payload(i, n)
					packets = append(packets, w.tcp(true, 1000+offset, 5016, "PA", data))
				}
				return allocated(func() {
					e := New(Config{Names: NewNames(1)}, &collector{})
					for i := range packets {
						e.Packet(&packets[i])
					}
					e.Close()
				})
			}
			cost(10) // what is made once
			small, large := cost(2000), cost(8000)
			if large > 5*small+1<<20 {
				t.Errorf("2,000 packets allocate %d bytes, 8,000 packets %d", small, large)
			}
		})
	}
}

// stream is first followed by as many others: i counts the segments.
func stream(i int, first, other string) (uint32, []byte) {
	if i == 0 && first != "" {
		return 0, []byte(first)
	}
	if first == "" {
		return uint32(i * len(other)), []byte(other)
	}
	return uint32(len(first) + (i-1)*len(other)), []byte(other)
}

func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// TestFloodNeitherGrowsMemoryNorHidesRealFlows: a million sources send one SYN each while a hundred real connections live.
func TestFloodNeitherGrowsMemoryNorHidesRealFlows(t *testing.T) {
	const cap, sources, real = 10_000, 1_000_000, 100
	counts := &floodSink{}
	e := New(Config{MaxFlows: cap}, counts)
	w := newWire(t)
	w.sport = 8443
	for i := range real {
		w.cport = uint16(30000 + i)
		for _, p := range []tap.Packet{w.tcp(true, 1, 0, "S", nil), w.tcp(false, 1, 2, "SA", nil), w.tcp(true, 2, 2, "PA", []byte("hello"))} {
			e.Packet(&p)
		}
	}
	syn := w.tcp(true, 1, 0, "S", nil)
	for i := range sources {
		syn.Data[26], syn.Data[27], syn.Data[28] = 11, byte(i>>16), byte(i>>8) // the address
		syn.Data[34], syn.Data[35] = 0x80, byte(i)                             // the port
		syn.Time += 1000
		e.Packet(&syn)
	}
	if e.table.used > cap || len(e.table.slots) > 4*cap {
		t.Errorf("%d flows in %d slots, the cap is %d", e.table.used, len(e.table.slots), cap)
	}
	for i := range real {
		w.cport = uint16(30000 + i)
		p := w.tcp(true, 7, 2, "FA", nil)
		p.Time = syn.Time
		e.Packet(&p)
	}
	e.Close()
	if counts.real != real || counts.closed != real+sources || e.Stats().Evicted == 0 {
		t.Errorf("%d of %d real flows have their bytes and end, %d rows of %d flows, %d evicted", counts.real, real, counts.closed, real+sources, e.Stats().Evicted)
	}
}

// floodSink counts rows.
type floodSink struct {
	collector
	real, closed int
}

func (s *floodSink) FlowOpened(*Flow) {}
func (s *floodSink) FlowClosed(f *Flow) {
	s.closed++
	if f.SrcBytes == 5 && f.History == "ShDF" {
		s.real++
	}
}

// TestTableFindsWhatIsInIt compares the table with a map over any sequence of insertions and removals.
func TestTableFindsWhatIsInIt(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		table, seed := newTable(), newHashSeed()
		known := map[key]*conn{}
		for _, n := range rapid.SliceOfN(rapid.IntRange(0, 300), 0, 3000).Draw(t, "keys") {
			k := key{a: decode.Bits{Low: uint64(n)}}
			hash := seed.hash(&k) % 7 // nearly all collide
			if c := known[k]; c != nil {
				table.remove(c)
				delete(known, k)
			} else {
				known[k] = &conn{key: k, hash: hash}
				table.add(known[k])
			}
		}
		for n := range 301 {
			k := key{a: decode.Bits{Low: uint64(n)}}
			if got := table.find(seed.hash(&k)%7, &k); got != known[k] {
				t.Fatalf("key %d: %p, want %p", n, got, known[k])
			}
		}
		if table.used != len(known) {
			t.Fatalf("%d used, want %d", table.used, len(known))
		}
	})
}

// TestDTLSSurvivesLossAndDisorder: whatever order the datagrams of a handshake come in, and however often, the same is said of it.
func TestDTLSSurvivesLossAndDisorder(t *testing.T) {
	packets := capture(t, "dtls.pcap")
	want := describe(packets)
	if len(want) != 2 {
		t.Fatalf("%v, want two handshakes", want)
	}
	second := slices.IndexFunc(packets, func(p tap.Packet) bool { return binary.BigEndian.Uint16(p.Data[36:]) == 4435 })
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 1))
		shuffled := slices.Clone(packets)
		for i := range packets { // neighbours change places, and every fourth comes twice
			// Whoever is seen first counts as the client: the first datagram of each conversation stays where it is.
			if j := i + r.IntN(3); j < len(packets) && i > 0 && i != second && (i < second) == (j < second) {
				shuffled[i], shuffled[j] = shuffled[j], shuffled[i]
			}
			if r.IntN(4) == 0 {
				shuffled = append(shuffled, shuffled[i])
			}
		}
		if got := describe(shuffled); !slices.Equal(got, want) {
			t.Fatalf("seed %d: %v, want %v", seed, got, want)
		}
	}
}

func describe(packets []tap.Packet) []string {
	c := &collector{}
	e := New(Config{}, c)
	for i := range packets {
		e.Packet(&packets[i])
	}
	e.Close()
	var list []string
	for _, f := range c.closed {
		if t := f.TLS; t != nil {
			list = append(list, fmt.Sprint(t.Version, t.SNI, t.Cipher, t.Group, t.JA3, t.JA3S, t.JA4, t.Retry, t.Cert != nil))
		}
	}
	slices.Sort(list)
	return list
}

// TestLivingFlowsCostNoAllocation: once a connection has said what it says in the clear, its packets cost no memory.
func TestLivingFlowsCostNoAllocation(t *testing.T) {
	e := New(Config{Names: NewNames(1)}, &floodSink{})
	w := newWire(t)
	open := []tap.Packet{w.tcp(true, 1, 0, "S", nil), w.tcp(false, 1, 2, "SA", nil), w.tcp(true, 2, 2, "PA", bytes.Repeat([]byte("unknown protocol "), 10))}
	for i := range open {
		e.Packet(&open[i])
	}
	data, ack := w.tcp(false, 2, 172, "PA", make([]byte, 1400)), w.tcp(true, 172, 1402, "A", nil)
	question := w.datagram(true, 9999, []byte("a datagram of no protocol that anybody knows"))
	for range mostLooks + 1 {
		e.Packet(&question)
	}
	seq := uint32(2)
	n := testing.AllocsPerRun(1000, func() {
		binary.BigEndian.PutUint32(data.Data[38:], seq)
		seq += 1400
		binary.BigEndian.PutUint32(ack.Data[42:], seq)
		for _, p := range []*tap.Packet{&data, &ack, &question} {
			p.Time += 1000
			e.Packet(p)
		}
	})
	if n > 0 {
		t.Errorf("%v allocations for three packets of living flows", n)
	}
}

// TestClockThatJumpsBackKeepsTheOrder: rows stay in the order of the capture, no duration is negative, and the jump is counted.
func TestClockThatJumpsBackKeepsTheOrder(t *testing.T) {
	packets := capture(t, "requests.pcap.gz")
	want := describe(packets)
	for i := len(packets) / 3; i < len(packets); i++ {
		packets[i].Time -= 3600e9
	}
	if got := describe(packets); !slices.Equal(got, want) || len(want) == 0 {
		t.Errorf("%v, want %v", got, want)
	}
	c := &collector{}
	e := New(Config{}, c)
	for i := range packets {
		e.Packet(&packets[i])
	}
	e.Close()
	if e.Stats().ClockSteps == 0 {
		t.Error("the jump was not counted")
	}
	for _, f := range c.closed {
		if f.End < f.Start || f.RTT < 0 {
			t.Errorf("flow from %d to %d, round trip %d", f.Start, f.End, f.RTT)
		}
	}
}

// TestCutFramesAreSaidInTheRow: with a snap length of 96 bytes hellos are not to be read, and the row says why.
func TestCutFramesAreSaidInTheRow(t *testing.T) {
	c := &collector{}
	e := New(Config{}, c)
	for _, p := range capture(t, "curl.pcap") {
		p.Data = p.Data[:min(len(p.Data), 96)]
		e.Packet(&p)
	}
	e.Close()
	cut := 0
	for _, f := range c.closed {
		if f.Proto == 6 && f.SrcBytes > 100 && f.Truncated {
			cut++
		}
	}
	if cut == 0 {
		t.Errorf("no row says that frames were cut: %+v", c.closed)
	}
}
