package dissect

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"pgregory.net/rapid"
)

// talk2 writes both sides of a conversation of HTTP/2.
type talk2 struct {
	list    []said
	buffers [2]bytes.Buffer
	framers [2]*http2.Framer
	heads   [2]bytes.Buffer
	tables  [2]*hpack.Encoder
}

// TestHeadOfHTTP2IsBounded repeats the longest field that a table holds by one byte each time, in one head of many frames.
func TestHeadOfHTTP2IsBounded(t *testing.T) {
	const longest = http2Table - 32 - len("filler") // RFC 7541 §4.1
	s := newHTTP2Stream()
	e := New(Config{}, &collector{})
	d := &s.sides[initiator]
	var block bytes.Buffer
	if err := hpack.NewEncoder(&block).WriteField(hpack.HeaderField{Name: "filler", Value: strings.Repeat("~", longest)}); err != nil {
		t.Fatal(err)
	}
	frame := func(kind http2.FrameType, b []byte) []byte {
		return append([]byte{byte(len(b) >> 16), byte(len(b) >> 8), byte(len(b)), byte(kind), 0, 0, 0, 0, 1}, b...)
	}
	const newestOfTable = 0x80 | 62
	s.data(e, &conn{}, initiator, []byte(http2Start), 1)
	s.data(e, &conn{}, initiator, frame(http2.FrameHeaders, block.Bytes()), 1)
	for range 20 {
		s.data(e, &conn{}, initiator, frame(http2.FrameContinuation, bytes.Repeat([]byte{newestOfTable}, 1000)), 1)
	}
	held := 0
	for _, f := range d.fields {
		held += len(f.name) + len(f.value)
	}
	if d.lost || len(d.fields) == 0 || held > longestHead || cap(d.frame) > usualFrame {
		t.Errorf("lost %t: %d fields of %d bytes, %d bytes for frames", d.lost, len(d.fields), held, cap(d.frame))
	}
}

func newTalk2() *talk2 {
	w := &talk2{list: []said{{true, http2Start}}}
	for side := range w.framers {
		w.framers[side] = http2.NewFramer(&w.buffers[side], nil)
		w.tables[side] = hpack.NewEncoder(&w.heads[side])
	}
	w.say(initiator, func(f *http2.Framer) error { return f.WriteSettings() })
	w.say(responder, func(f *http2.Framer) error { return f.WriteSettings() })
	return w
}

func (w *talk2) say(side int, write func(*http2.Framer) error) {
	w.buffers[side].Reset()
	if err := write(w.framers[side]); err != nil {
		panic(err)
	}
	w.list = append(w.list, said{side == initiator, w.buffers[side].String()})
}

// head writes a head in two frames, the first with padding and a priority.
func (w *talk2) head(side int, stream uint32, end bool, fields ...string) {
	w.heads[side].Reset()
	for i := 0; i < len(fields); i += 2 {
		if err := w.tables[side].WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]}); err != nil {
			panic(err)
		}
	}
	block := slices.Clone(w.heads[side].Bytes())
	n := len(block) / 2
	w.say(side, func(f *http2.Framer) error {
		return f.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: block[:n], EndStream: end, PadLength: 7, Priority: http2.PriorityParam{Weight: 9}})
	})
	w.say(side, func(f *http2.Framer) error { return f.WriteContinuation(stream, true, block[n:]) })
}

func (w *talk2) content(side int, stream uint32, end bool, n int) {
	w.say(side, func(f *http2.Framer) error { return f.WriteDataPadded(stream, end, make([]byte, n), make([]byte, 5)) })
}

func (w *talk2) get(stream uint32, path string) {
	w.head(initiator, stream, true, ":method", "GET", ":scheme", "http", ":authority", "a.example:81", ":path", path, "user-agent", "test", "cookie", "secret")
}

// TestHTTP2IsReadHoweverItIsCut: requests that overlap, heads in pieces, padding, interim responses, trailers, pushes and resets, in segments of any length.
func TestHTTP2IsReadHoweverItIsCut(t *testing.T) {
	w := newTalk2()
	w.get(1, "/one?secret")
	w.head(initiator, 3, false, ":method", "POST", ":scheme", "http", ":authority", "b.example", ":path", "/two", "content-type", "application/grpc")
	w.head(responder, 1, false, ":status", "103", "link", "secret")
	w.content(initiator, 3, false, 300)
	w.head(responder, 1, false, ":status", "200", "set-cookie", "secret")
	w.say(responder, func(f *http2.Framer) error {
		w.heads[responder].Reset()
		_ = w.tables[responder].WriteField(hpack.HeaderField{Name: ":path", Value: "/pushed"})
		return f.WritePushPromise(http2.PushPromiseParam{StreamID: 1, PromiseID: 2, BlockFragment: w.heads[responder].Bytes(), EndHeaders: true})
	})
	w.content(initiator, 3, true, 40)
	w.head(responder, 3, false, ":status", "201")
	w.content(responder, 1, true, 20)
	w.content(responder, 3, false, 0)
	w.head(responder, 3, true, "grpc-status", "0")
	w.get(5, "/three")
	w.say(responder, func(f *http2.Framer) error { return f.WriteRSTStream(5, http2.ErrCodeRefusedStream) })
	w.get(7, "/four")
	const want = "GET a.example /one 200 0 20|POST b.example /two 201 340 0|GET a.example /three 0 0 0|GET a.example /four 0 0 0"
	rapid.Check(t, func(r *rapid.T) {
		lines, flows := requests(conversation(newWire(t), 81, w.list, func() int { return rapid.IntRange(1, 200).Draw(r, "length") }))
		if got := strings.Join(lines, "|"); got != want {
			t.Fatalf("%s\nwant %s", got, want)
		}
		if h := flows[0].HTTP; h.Version != "2" || h.Path != "/one" || h.Status != 200 || h.ResponseBytes != 20 || !slices.Equal(h.Headers, []string{"user-agent", "cookie"}) {
			t.Fatalf("%+v", h)
		}
	})
}

// TestAnswersBehindAnUpgradeToHTTP2AreTold: the request has its row by then.
func TestAnswersBehindAnUpgradeToHTTP2AreTold(t *testing.T) {
	w := newTalk2()
	w.head(responder, 1, true, ":status", "404")
	w.get(3, "/next")
	w.head(responder, 3, true, ":status", "204")
	list := append([]said{
		{true, "GET /up HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\r\n"},
		{false, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"},
	}, w.list...)
	lines, _ := requests(conversation(newWire(t), 81, list, nil))
	if got, want := strings.Join(lines, "|"), "GET a /up 101 0 0|   404 0 0|GET a.example /next 204 0 0"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// TestAnswersOfHTTP2AreToldBehindALostRequest: their fields are compressed with a table of their own.
func TestAnswersOfHTTP2AreToldBehindALostRequest(t *testing.T) {
	w := newTalk2()
	w.get(1, "/one")
	w.get(3, "/two")
	for stream, status := range map[uint32]string{1: "200", 3: "404"} {
		w.head(responder, stream, false, ":status", status)
		w.content(responder, stream, true, 30)
	}
	packets := conversation(newWire(t), 81, w.list, nil)
	lines, _ := requests(slices.Delete(packets, 8, 9)) // a part of the second request
	slices.Sort(lines)
	if got, want := strings.Join(lines, "|"), "   404 0 30|GET a.example /one 200 0 30"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// TestHTTP2KeepsItsBounds: heads without an end, too many streams, and losses in a head end the reading; nothing is told that was not said.
func TestHTTP2KeepsItsBounds(t *testing.T) {
	many := newTalk2()
	for i := range uint32(3 * mostStreams) {
		many.get(2*i+1, fmt.Sprint("/", i))
	}
	endless := newTalk2()
	endless.get(1, "/one")
	endless.list = append(endless.list, said{true, "\xff\xff\xff\x01\x04\x00\x00\x00\x03" + strings.Repeat("x", 2*longestHead)})
	for name, c := range map[string]struct {
		list []said
		lost int // a packet that is missing, 0: none
		want int
	}{
		"many streams":      {many.list, 0, 2 * mostStreams},
		"an endless head":   {endless.list, 0, 1},
		"a loss in a head":  {many.list, 6 + 2*10, 0},
		"no sense":          {append(newTalk2().list, said{true, "\x00\x00\x04\x01\x04\x00\x00\x00\x01\xff\xff\xff\xff"}), 0, 0},
		"padding too long":  {append(newTalk2().list, said{true, "\x00\x00\x01\x01\x0c\x00\x00\x00\x01\xff"}), 0, 0},
		"an empty priority": {append(newTalk2().list, said{true, "\x00\x00\x00\x01\x24\x00\x00\x00\x01"}), 0, 0},
	} {
		packets := conversation(newWire(t), 81, c.list, nil)
		if c.lost > 0 {
			packets = slices.Delete(packets, c.lost, c.lost+1)
		}
		got := &collector{}
		e := New(Config{Names: NewNames(64)}, got)
		for i := range packets {
			e.Packet(&packets[i])
		}
		if len(got.http) != c.want {
			t.Errorf("%s: %d requests before the end, want %d", name, len(got.http), c.want)
		}
		e.Close()
	}
}
