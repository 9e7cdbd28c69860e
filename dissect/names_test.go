package dissect

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"strconv"
	"testing"
)

// TestNamesGrowToTheirLimit: while there is room every answer is kept, however the table grows; then it grows no more.
func TestNamesGrowToTheirLimit(t *testing.T) {
	const answers = 5000 // so few that chance does not put nine of them into one of 16,384 sets
	client := netip.MustParseAddr("10.0.0.1")
	random := rand.New(rand.NewPCG(1, 2))
	var addresses [answers][16]byte
	for i := range addresses {
		binary.BigEndian.PutUint64(addresses[i][:], random.Uint64())
		binary.BigEndian.PutUint64(addresses[i][8:], random.Uint64())
	}
	address := func(i int) netip.Addr { return netip.AddrFrom16(addresses[i]) }
	for _, limit := range []int{0, 8} {
		n := NewNames(limit)
		for i := range answers {
			n.Add(client, address(i), strconv.Itoa(i), 60, 0)
		}
		found := 0
		for i := range answers {
			if name, ok := n.Lookup(client, address(i), 1); ok {
				if name != strconv.Itoa(i) {
					t.Fatalf("address %d has the name %s", i, name)
				}
				found++
			}
		}
		if want := map[int]int{0: answers, 8: 8}[limit]; found != want {
			t.Errorf("limit %d: %d answers of %d are known, want %d", limit, found, answers, want)
		}
	}
}
