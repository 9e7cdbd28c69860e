package ledger

import (
	"encoding/binary"

	"golang.org/x/mod/sumdb/tlog"
)

// Keys in Badger: the first byte is the table, integers are big-endian so that order is numeric.
//
//	'!' name                                   meta: format, origin, vkey, genesis, counters
//	'c' "head"                                 newest signed checkpoint
//	'T' u8 level be64 n u8 width               tile, width 0 = full
//	'e' be32 day be64 seq                      row hash (32 bytes) and the row
//	'i' be32 day u8 kind value 0 be64 block    which rows of the block hold the value (see index.go)
//	't' be64 minute                            first seq logged in that minute
//	'd' be32 day                               first and last seq of the day
//	'r' be32 hour class 0 party 0 addon 0 destination 0 direction 0 channel   sums of the calls of that hour
//	'f' be32 hour u8 kind value                what else is counted of the rows of that hour (see facts.go)
//	'w' be32 day                               the same of a day whose rows retention took away, and the row hash of its last row
//
// The day in front lets a whole day's rows and index go with one DropPrefix.
const (
	tableMeta       = '!'
	tableCheckpoint = 'c'
	tableTile       = 'T'
	tableRow        = 'e'
	tableIndex      = 'i'
	tableOldIndex   = 'x' // a key for each row: of logs from before there were blocks
	tableMinute     = 't'
	tableDay        = 'd'
	tableDropped    = 'w'
	tableRollup     = 'r'
	tableFact       = 'f'
)

func metaKey(name string) []byte { return append([]byte{tableMeta}, name...) }

var headKey = []byte("chead")

func rowKey(day uint32, seq uint64) []byte {
	k := binary.BigEndian.AppendUint32([]byte{tableRow}, day)
	return binary.BigEndian.AppendUint64(k, seq)
}

// parseRowKey undoes rowKey.
func parseRowKey(k []byte) (day uint32, seq uint64, ok bool) {
	if len(k) != 13 || k[0] != tableRow {
		return 0, 0, false
	}
	return binary.BigEndian.Uint32(k[1:]), binary.BigEndian.Uint64(k[5:]), true
}

func tileKey(t tlog.Tile) []byte {
	k := binary.BigEndian.AppendUint64([]byte{tableTile, byte(t.L)}, uint64(t.N))
	return append(k, byte(t.W)) // 256 wraps to 0: full
}

func minuteKey(minute uint64) []byte {
	return binary.BigEndian.AppendUint64([]byte{tableMinute}, minute)
}

func dayKey(day uint32) []byte { return binary.BigEndian.AppendUint32([]byte{tableDay}, day) }

func droppedKey(day uint32) []byte { return binary.BigEndian.AppendUint32([]byte{tableDropped}, day) }
