package ledger

import (
	"bytes"
	"testing"

	"golang.org/x/mod/sumdb/tlog"
)

// newest is how the logs that tests make are laid out.
var newest = layouts[formatVersion]

// TestNothingLargeLiesBetweenNewKeys compares the keys of an old and a new row and their tiles with those of the other tables: Badger writes everything between the ends of a table of new
// entries again.
func TestNothingLargeLiesBetweenNewKeys(t *testing.T) {
	oldRow, newRow := newest.row(20_000, 1), newest.row(20_030, 10_000_000)
	oldTile, newTile := newest.tile(tlog.Tile{H: 8, L: 0, N: 1, W: 256}), newest.tile(tlog.Tile{H: 8, L: 0, N: 40_000, W: 17})
	order := [][]byte{oldRow, newRow, metaKey(""), newest.tile(tlog.Tile{H: 8, L: 1, W: 1}), headKey, dayKey(0), {tableFact}, {tableIndex}, {tableRollup}, minuteKey(0), droppedKey(0), newTile, oldTile}
	for i := 1; i < len(order); i++ {
		if bytes.Compare(order[i-1], order[i]) >= 0 {
			t.Errorf("%x does not lie before %x", order[i-1], order[i])
		}
	}
}
