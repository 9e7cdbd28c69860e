package ledger

import (
	"encoding/binary"
	"strings"

	"golang.org/x/mod/sumdb/tlog"
)

// Keys in Badger: the first byte is the table, integers are big-endian so that order is numeric.
//
//	'!' name                                   meta: format, origin, vkey, genesis, counters
//	'c' "head"                                 newest signed checkpoint
//	'T' u8 level be64 n u8 width               tile, width 0 = full
//	'e' be32 day be64 seq                      row hash (32 bytes) and the row
//	'x' be32 day u8 kind value 0 be64 seq      index, no value: m addon, d destination, p process, v party class
//	't' be64 minute                            first seq logged in that minute
//	'd' be32 day                               first and last seq of the day
//	'r' be32 hour class 0 party 0 addon 0 destination 0 direction 0 channel   sums of the calls of that hour
//	'w' be32 day                               the same of a day whose rows retention took away, and the row hash of its last row
//
// The day in front lets a whole day's rows and index go with one DropPrefix.
const (
	tableMeta       = '!'
	tableCheckpoint = 'c'
	tableTile       = 'T'
	tableRow        = 'e'
	tableIndex      = 'x'
	tableMinute     = 't'
	tableDay        = 'd'
	tableDropped    = 'w'
	tableRollup     = 'r'
)

// Names of the index kinds.
const (
	indexAddon       = 'm'
	indexDestination = 'd'
	indexProcess     = 'p'
	indexParty       = 'v'
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

// longestIndexValue bounds an indexed value, in bytes; the rest of a longer one is not indexed, the row keeps it whole.
const longestIndexValue = 256

func indexKey(day uint32, kind byte, value string, seq uint64) []byte {
	if len(value) > longestIndexValue {
		value = value[:longestIndexValue]
	}
	value = strings.ReplaceAll(value, "\x00", "\x01") // 0 ends the value
	k := binary.BigEndian.AppendUint32([]byte{tableIndex}, day)
	k = append(k, kind)
	k = append(k, value...)
	k = append(k, 0)
	return binary.BigEndian.AppendUint64(k, seq)
}

// indexKeys are the index entries of one row. An index is a hint: a hit is checked against the row.
func indexKeys(day uint32, e *Event) [][]byte {
	var keys [][]byte
	if e.Addon != nil && e.Addon.Name != "" {
		keys = append(keys, indexKey(day, indexAddon, e.Addon.Name, e.Seq))
	}
	if e.Dst != nil {
		to := e.Dst.Host
		if to == "" {
			to = e.Dst.IP
		}
		keys = append(keys, indexKey(day, indexDestination, to, e.Seq))
	}
	if e.Process != nil && e.Process.Exe != "" {
		keys = append(keys, indexKey(day, indexProcess, e.Process.Exe, e.Seq))
	}
	if e.Party != nil && e.Party.Class != "" {
		keys = append(keys, indexKey(day, indexParty, e.Party.Class, e.Seq))
	}
	return keys
}
