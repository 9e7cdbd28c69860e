package ledger

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"

	"github.com/dgraph-io/badger/v4"
)

// The index says which rows hold a value, a block of 1,024 rows at a time: one key for each value of a block, and a bit for each row. It is a hint: a hit is compared with the row before it is shown, and
// the whole index can be made anew from the rows.

// blockRows is how many rows share the keys of a block. Larger blocks make searching a long log cheaper and short batches dearer, because a batch writes the keys of its block again.
const blockRows = 1024

// Kinds of the index: what a value is.
const (
	indexAddon       = 'a' // ModuleName, and the addon on whose behalf it called
	indexChannel     = 'c'
	indexDestination = 'd' // name, and address
	indexKind        = 'k'
	indexAsked       = 'n' // name in a DNS question
	indexParty       = 'p' // class
	indexDirection   = 'r'
	indexProcess     = 's' // file, and name
	indexState       = 't'
)

// longestIndexValue bounds an indexed value, in bytes; the rest of a longer one is not indexed, the row keeps it whole.
const longestIndexValue = 256

// eachTerm calls yield for what is indexed of a row.
func eachTerm(e *Event, yield func(kind byte, value string)) {
	say := func(kind byte, value string) {
		if value != "" {
			yield(kind, value)
		}
	}
	say(indexKind, e.Kind)
	say(indexState, e.State)
	say(indexDirection, e.Direction)
	say(indexChannel, e.Channel)
	if e.Party != nil {
		say(indexParty, e.Party.Class)
	}
	say(indexAddon, ModuleName(e))
	if e.Addon != nil {
		say(indexAddon, e.Addon.OnBehalfOf)
	}
	if e.Dst != nil {
		say(indexDestination, e.Dst.Host)
		say(indexDestination, e.Dst.IP)
	}
	if e.Process != nil {
		say(indexProcess, e.Process.Exe)
		say(indexProcess, e.Process.Name)
	}
	if e.DNS != nil {
		say(indexAsked, e.DNS.Name)
	}
}

// appendIndexValue appends the form of a value in keys: ASCII letters small, without the byte that ends it.
func appendIndexValue(b []byte, value string) []byte {
	for i := range min(len(value), longestIndexValue) {
		c := value[i]
		switch {
		case 'A' <= c && c <= 'Z':
			c += 'a' - 'A'
		case c == 0:
			c = 1
		}
		b = append(b, c)
	}
	return b
}

func indexDayPrefix(day uint32) []byte { return binary.BigEndian.AppendUint32([]byte{tableIndex}, day) }

// appendTermKey appends the key of a value's rows on a day, up to the number of the block.
func appendTermKey(b []byte, day uint32, kind byte, value string) []byte {
	b = binary.BigEndian.AppendUint32(append(b, tableIndex), day)
	return append(appendIndexValue(append(b, kind), value), 0)
}

// parseIndexKey splits a key of the index into what stands before the block's number, and the number.
func parseIndexKey(k []byte) (term []byte, block uint64, ok bool) {
	n := len(k) - 8
	if n < 7 || k[0] != tableIndex || k[n-1] != 0 {
		return nil, 0, false
	}
	return k[:n], binary.BigEndian.Uint64(k[n:]), true
}

// bitmap has a bit for each row of a block.
type bitmap [blockRows / 64]uint64

func (b *bitmap) set(i int) { b[i/64] |= 1 << (i % 64) }

func (b *bitmap) has(i int) bool { return b[i/64]>>(i%64)&1 != 0 }

func (b *bitmap) count() (n int) {
	for _, w := range b {
		n += bits.OnesCount64(w)
	}
	return n
}

func (b *bitmap) and(o *bitmap) {
	for i := range b {
		b[i] &= o[i]
	}
}

func (b *bitmap) andNot(o *bitmap) {
	for i := range b {
		b[i] &^= o[i]
	}
}

func (b *bitmap) or(o *bitmap) {
	for i := range b {
		b[i] |= o[i]
	}
}

// each calls yield for the set bits, upwards or downwards, until it returns false.
func (b *bitmap) each(down bool, yield func(i int) bool) bool {
	for n := range b {
		if down {
			n = len(b) - 1 - n
		}
		for w := b[n]; w != 0; {
			i := bits.TrailingZeros64(w)
			if down {
				i = 63 - bits.LeadingZeros64(w)
			}
			w &^= 1 << i
			if !yield(n*64 + i) {
				return false
			}
		}
	}
	return true
}

// keepRange clears the bits of rows outside [from, to), for the block with this number.
func (b *bitmap) keepRange(block, from, to uint64) {
	first := block * blockRows
	if first >= from && first+blockRows <= to {
		return
	}
	b.each(false, func(i int) bool {
		if seq := first + uint64(i); seq < from || seq >= to {
			b[i/64] &^= 1 << (i % 64)
		}
		return true
	})
}

// bitmapBytes is the length of a stored bitmap; fewer rows are stored as their numbers in the block, 16 bits each.
const bitmapBytes = blockRows / 8

func (b *bitmap) bytes() []byte {
	out := make([]byte, 0, bitmapBytes)
	if 2*b.count() >= bitmapBytes {
		for _, w := range b {
			out = binary.BigEndian.AppendUint64(out, w)
		}
		return out
	}
	b.each(false, func(i int) bool { out = binary.BigEndian.AppendUint16(out, uint16(i)); return true })
	return out
}

// parseBitmap undoes bytes, and only what bytes can write.
func parseBitmap(v []byte) (b bitmap, ok bool) {
	if len(v) == bitmapBytes {
		for i := range b {
			b[i] = binary.BigEndian.Uint64(v[8*i:])
		}
		return b, 2*b.count() >= bitmapBytes
	}
	if len(v) == 0 || len(v) > bitmapBytes || len(v)%2 != 0 {
		return b, false
	}
	for before := -1; len(v) > 0; v = v[2:] {
		i := int(binary.BigEndian.Uint16(v))
		if i <= before || i >= blockRows {
			return b, false
		}
		b.set(i)
		before = i
	}
	return b, true
}

// openBlock is the index of the block of the newest row. One goroutine owns it.
type openBlock struct {
	number uint64
	rows   map[string]*bitmap // by key in the store
	key    []byte             // scratch
}

// add takes a row, and puts the entries that it changes into changed; it calls more with the keys that were not there.
func (o *openBlock) add(day uint32, e *Event, changed map[string]*bitmap, more func(key string)) {
	if n := e.Seq / blockRows; o.rows == nil || n != o.number {
		o.number, o.rows = n, map[string]*bitmap{}
	}
	eachTerm(e, func(kind byte, value string) {
		o.key = binary.BigEndian.AppendUint64(appendTermKey(o.key[:0], day, kind, value), o.number)
		b := o.rows[string(o.key)]
		if b == nil {
			b = new(bitmap)
			o.rows[string(o.key)] = b
		}
		b.set(int(e.Seq % blockRows))
		if _, known := changed[string(o.key)]; !known {
			key := string(o.key)
			changed[key] = b
			more(key)
		}
	})
}

// loadBlock reads the rows of the block in which a log of this size ends.
func (l *Ledger) loadBlock(ctx context.Context, size uint64) (*openBlock, error) {
	o := &openBlock{}
	return o, l.eachEvent(ctx, size-size%blockRows, func(e *Event) error {
		o.add(dayAt(e.Logged), e, map[string]*bitmap{}, func(string) {})
		return nil
	})
}

// eachEvent reads the rows that are there from seq on.
func (l *Ledger) eachEvent(ctx context.Context, from uint64, yield func(*Event) error) error {
	var failure error
	err := l.Rows(ctx, from, func(row Row) bool {
		e, err := ParseEvent(row.JSON)
		if err == nil {
			err = yield(&e)
		}
		failure = err
		return err == nil
	})
	return errors.Join(err, failure)
}

// indexMark is the name of the mark that the index is complete.
const indexMark = "index"

// RebuildIndex makes the index anew from the rows that are there. The ledger must not be written meanwhile.
func (l *Ledger) RebuildIndex(ctx context.Context) error {
	return l.rebuild(indexMark, func(batch *badger.WriteBatch) error {
		if err := l.db.DropPrefix([]byte{tableIndex}, []byte{tableOldIndex}); err != nil {
			return fmt.Errorf("remove the old index: %w", err)
		}
		block, changed := &openBlock{}, map[string]*bitmap{}
		flush := func() error {
			for key, b := range changed {
				if err := batch.Set([]byte(key), b.bytes()); err != nil {
					return err
				}
			}
			clear(changed)
			return nil
		}
		err := l.eachEvent(ctx, 0, func(e *Event) error {
			if e.Seq/blockRows != block.number {
				if err := flush(); err != nil {
					return err
				}
			}
			block.add(dayAt(e.Logged), e, changed, func(string) {})
			return nil
		})
		return errors.Join(err, flush())
	})
}
