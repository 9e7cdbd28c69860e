package dissect

import (
	"bytes"
	"math/rand/v2"
	"path/filepath"
	"testing"

	"netaudit/tap"
	"netaudit/tap/decode"
)

// checkShard compares the look at a frame's headers with what reading all of it says: of a frame that is said to be another engine's nobody else looks at the rest.
func checkShard(t *testing.T, p *tap.Packet) (known bool) {
	t.Helper()
	shard, ok := ShardOf(p)
	if !ok {
		return false
	}
	var h decode.Headers
	err := decode.Decode(p.Link, p.Data, p.Length, &h)
	switch {
	case h.Fragment:
		t.Errorf("a fragment: % x", p.Data)
	case err != nil && (!h.Src.IsValid() || h.Proto == 0): // nobody follows it
	case placement(true).of(&h) != shard:
		t.Errorf("shard %d, reading all says %d: % x", shard, placement(true).of(&h), p.Data)
	}
	return true
}

// TestShardOfAgreesWithReadingAll, also of frames that are damaged in their headers and cut.
func TestShardOfAgreesWithReadingAll(t *testing.T) {
	files, err := filepath.Glob("../tap/testdata/captures/*.pcap*")
	if err != nil || len(files) == 0 {
		t.Fatalf("captures: %v, error %v", files, err)
	}
	known, random := 0, rand.New(rand.NewPCG(1, 2))
	for _, file := range files {
		s, err := tap.OpenFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var p tap.Packet
		for s.Next(t.Context(), &p) == nil {
			if checkShard(t, &p) {
				known++
			}
			whole := p.Data
			for range 20 {
				p.Data = bytes.Clone(whole[:random.IntN(len(whole)+1)])
				if random.IntN(2) == 0 {
					p.Data = bytes.Clone(whole)
				}
				for range random.IntN(3) {
					if n := min(len(p.Data), 80); n > 12 {
						p.Data[12+random.IntN(n-12)] = byte(random.Uint32())
					}
				}
				checkShard(t, &p)
			}
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if known < 3000 {
		t.Errorf("%d frames were told apart, want most of them", known)
	}
}

// TestShardsOfADialogue: both directions lie in one shard, a dialogue of FTP with its data connections, and calls between two hosts in several.
func TestShardsOfADialogue(t *testing.T) {
	client, server := decode.Bits{Low: 0xffff0a000001}, decode.Bits{Low: 0xffff0a000002}
	seen := map[uint8]bool{}
	for port := uint16(40000); port < 40100; port++ {
		there, back := shardOfTCP(client, server, port, 8069), shardOfTCP(server, client, 8069, port)
		if there != back || there == 0 {
			t.Errorf("port %d: shards %d and %d", port, there, back)
		}
		seen[there] = true
		for _, data := range [][2]uint16{{port, 21}, {20, port}, {port, 50000}} {
			if got, want := shardOfTCP(client, server, data[0], data[1]), shardOfTCP(client, server, 40000, 21); got != want {
				t.Errorf("ports %v lie in shard %d, the dialogue in %d", data, got, want)
			}
		}
	}
	if len(seen) != Shards-1 {
		t.Errorf("calls between two hosts lie in the shards %v, want all but the first", seen)
	}
	if got := shardOfTCP(client, server, 40000, 53); got != 0 {
		t.Errorf("DNS over TCP lies in shard %d", got)
	}
}
