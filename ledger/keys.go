package ledger

import (
	"encoding/binary"

	"golang.org/x/mod/sumdb/tlog"
)

// Keys in Badger: the first byte is the table, integers are big-endian so that order is numeric.
//
//	'!' name                                   meta: format, origin, vkey, genesis, counters
//	'c' "head"                                 newest signed checkpoint
//	' ' be32 day be64 seq                      rows from seq on, each with its row hash of 32 bytes (see group.go)
//	'~' be64 ^n u8 width                       tile of the lowest level, width 0 = full
//	'T' u8 level be64 n u8 width               tile of another level
//	'i' be32 day u8 kind value 0 be64 block    which rows of the block hold the value (see index.go)
//	't' be64 minute                            first seq logged in that minute
//	'd' be32 day                               first and last seq of the day
//	'r' be32 hour class 0 party 0 addon 0 destination 0 direction 0 channel   sums of the calls of that hour
//	'f' be32 hour u8 kind value                what else is counted of the rows of that hour (see facts.go)
//	'w' be32 day                               the same of a day whose rows retention took away, and the row hash of its last row
//
// The day in front lets a whole day's rows and index go with one DropPrefix.
//
// Rows come first and the lowest tiles last, the newest of them first, because they are 97 % of a long log. Badger sorts by key and merges tables with all older ones between their ends; a table of new entries reaches
// from the newest rows to the newest tiles, and nothing old and large lies between. In the layout of format 1 all rows did: every few ten thousand new ones all old ones were written again.
const (
	tableMeta       = '!'
	tableCheckpoint = 'c'
	tableTile       = 'T'
	tableRow        = ' '
	tableLeaves     = '~'
	tableFirstRow   = 'e' // the rows in format 1
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

// layout says where rows and tiles lie among the keys. It belongs to a log for ever.
type layout struct {
	rows   byte // the table of rows
	leaves bool // the lowest tiles have a table of their own
	groups bool // a value holds several rows
}

// layouts are those of every format that there was.
var layouts = map[int]layout{1: {rows: tableFirstRow}, 2: {rows: tableRow, leaves: true}, 3: {rows: tableRow, leaves: true, groups: true}}

// row is the key of a row, and of a group that begins with it.
func (o layout) row(day uint32, seq uint64) []byte {
	return binary.BigEndian.AppendUint64(o.day(day), seq)
}

// day is what the keys of a day's rows begin with.
func (o layout) day(day uint32) []byte { return binary.BigEndian.AppendUint32([]byte{o.rows}, day) }

// parseRow undoes row.
func (o layout) parseRow(k []byte) (day uint32, seq uint64, ok bool) {
	if len(k) != 13 || k[0] != o.rows {
		return 0, 0, false
	}
	return binary.BigEndian.Uint32(k[1:]), binary.BigEndian.Uint64(k[5:]), true
}

// tile is the key of a tile.
func (o layout) tile(t tlog.Tile) []byte {
	if t.L == 0 && o.leaves {
		k := binary.BigEndian.AppendUint64([]byte{tableLeaves}, ^uint64(t.N))
		return append(k, byte(t.W)) // 256 wraps to 0: full
	}
	k := binary.BigEndian.AppendUint64([]byte{tableTile, byte(t.L)}, uint64(t.N))
	return append(k, byte(t.W))
}

func minuteKey(minute uint64) []byte {
	return binary.BigEndian.AppendUint64([]byte{tableMinute}, minute)
}

func dayKey(day uint32) []byte { return binary.BigEndian.AppendUint32([]byte{tableDay}, day) }

func droppedKey(day uint32) []byte { return binary.BigEndian.AppendUint32([]byte{tableDropped}, day) }
