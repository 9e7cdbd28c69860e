package pystack

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"unicode/utf16"

	"netaudit/attribution/pystack/memory"
)

// Bounds on what is read of one object of the target.
const (
	maxString    = 4096      // characters of a Python string
	maxTypeName  = 256       // bytes of a tp_name
	maxLineTable = 256 << 10 // bytes of a line table
	maxEntries   = 64        // dict entries searched for __name__
)

var errImplausible = errors.New("implausible object")

func le64(b []byte, off int) uint64 { return binary.LittleEndian.Uint64(b[off:]) }
func le32(b []byte, off int) uint32 { return binary.LittleEndian.Uint32(b[off:]) }

// str decodes a compact PyUnicodeObject (cpython/unicodeobject.h).
func (l *layout) str(r memory.Reader, addr uint64) (string, error) {
	var head [40]byte
	if err := r.ReadAt(addr, head[:]); err != nil {
		return "", fmt.Errorf("reading a string: %w", err)
	}
	length, state := le64(head[:], 16), le32(head[:], 32)
	kind, compact, ascii := state>>2&7, state>>5&1, state>>6&1
	if compact == 0 || length > maxString || kind != 1 && kind != 2 && kind != 4 {
		return "", fmt.Errorf("reading a string at %#x: %w", addr, errImplausible)
	}
	data := make([]byte, length*uint64(kind))
	start := addr + l.compactSize
	if ascii == 1 {
		start = addr + l.asciiSize
	}
	if err := r.ReadAt(start, data); err != nil {
		return "", fmt.Errorf("reading a string: %w", err)
	}
	return decodeString(data, kind, ascii == 1), nil
}

func decodeString(data []byte, kind uint32, ascii bool) string {
	if ascii {
		return strings.ToValidUTF8(string(data), "\uFFFD") // a target that lies about it
	}
	runes := make([]rune, 0, len(data)/int(kind))
	for i := 0; i < len(data); i += int(kind) {
		switch kind {
		case 1:
			runes = append(runes, rune(data[i]))
		case 2:
			runes = append(runes, rune(binary.LittleEndian.Uint16(data[i:])))
		default:
			runes = append(runes, rune(le32(data, i)))
		}
	}
	for i, c := range runes {
		if utf16.IsSurrogate(c) { // os.fsdecode's surrogateescape: not text
			runes[i] = '\uFFFD'
		}
	}
	return string(runes)
}

// cellType is the type of what holds a variable that functions share (PyCellObject).
const cellType = "cell"

// nameOfType gives tp_name of an object's type. A cell (a captured argument) is looked through.
func (l *layout) nameOfType(r memory.Reader, obj uint64) (string, error) {
	for range 2 {
		if obj == 0 {
			return "", nil
		}
		typ, err := memory.Uint64(r, obj+obType)
		if err != nil {
			return "", err
		}
		ptr, err := memory.Uint64(r, typ+typeName)
		if err != nil {
			return "", err
		}
		name, err := cString(r, ptr)
		if err != nil || name != cellType {
			return name, err
		}
		if obj, err = memory.Uint64(r, obj+16); err != nil { // PyCellObject.ob_ref
			return "", err
		}
	}
	return cellType, nil
}

// namePiece is how much of a name is read at once, in bytes; aligned pieces never cross a page.
const namePiece = 32

// cString reads a NUL-terminated string in pieces, so that one at the end of a mapping is still read.
func cString(r memory.Reader, addr uint64) (string, error) {
	var room [4 * namePiece]byte
	out := room[:0]
	for len(out) < maxTypeName {
		n := namePiece - addr%namePiece
		piece, err := memory.Bytes(r, addr, int(n))
		if err != nil {
			return "", fmt.Errorf("reading a name: %w", err)
		}
		if end := bytes.IndexByte(piece, 0); end >= 0 {
			return strings.ToValidUTF8(string(append(out, piece[:end]...)), "\uFFFD"), nil
		}
		out = append(out, piece...)
		addr += n
	}
	return "", fmt.Errorf("reading a name: %w", errImplausible)
}

// bytesObject reads a PyBytesObject.
func bytesObject(r memory.Reader, addr uint64) ([]byte, error) {
	size, err := memory.Uint64(r, addr+16)
	if err != nil {
		return nil, err
	}
	if size > maxLineTable {
		return nil, fmt.Errorf("reading a line table of %d bytes: %w", size, errImplausible)
	}
	buf := make([]byte, size)
	return buf, r.ReadAt(addr+bytesItems, buf)
}

// bytesItems is where a bytes object has its content (ob_sval).
const bytesItems = 32

// dictFind finds the value under a string in the dict keys object at keys (pycore_dict.h), among the first most entries, and where the reference to it stands; 0 when it is not there.
func (l *layout) dictFind(r memory.Reader, keys uint64, name string, most uint64) (at, value uint64, err error) {
	entries, count, stride, keyAt, err := l.dictEntries(r, keys)
	if err != nil {
		return 0, 0, err
	}
	table := make([]byte, min(count, most)*stride)
	if err := r.ReadAt(entries, table); err != nil {
		return 0, 0, fmt.Errorf("reading a dict: %w", err)
	}
	for off := uint64(0); off < uint64(len(table)); off += stride {
		key, value := le64(table, int(off+keyAt)), le64(table, int(off+keyAt+8))
		if key == 0 || value == 0 {
			continue
		}
		if l.is(r, key, name) {
			return entries + off + keyAt + 8, value, nil
		}
	}
	return 0, 0, nil
}

// is compares a string of the target without reading more than its length says.
func (l *layout) is(r memory.Reader, addr uint64, text string) bool {
	length, err := memory.Uint64(r, addr+16)
	if err != nil || length != uint64(len(text)) {
		return false
	}
	s, err := l.str(r, addr)
	return err == nil && s == text
}

// dictCount is where a dict keys object has the number of its entries.
func (l *layout) dictCount() uint64 {
	if l.minor <= 10 {
		return 32
	}
	return 24
}

// dictEntries says where the entries of a dict keys object are, how many, how far apart, and where in each the key stands.
func (l *layout) dictEntries(r memory.Reader, keys uint64) (entries, count, stride, keyAt uint64, err error) {
	var head [40]byte
	if err := r.ReadAt(keys, head[:]); err != nil {
		return 0, 0, 0, 0, fmt.Errorf("reading a dict: %w", err)
	}
	stride, keyAt = 24, 8
	count = le64(head[:], int(l.dictCount()))
	if l.minor <= 10 {
		size := le64(head[:], 8)
		width := uint64(8)
		switch {
		case size <= 0xff:
			width = 1
		case size <= 0xffff:
			width = 2
		case size <= 0xffffffff:
			width = 4
		}
		return keys + 40 + size*width, count, stride, keyAt, nil
	}
	if head[9] > 40 {
		return 0, 0, 0, 0, fmt.Errorf("reading a dict: %w", errImplausible)
	}
	if head[10] != 0 {
		stride, keyAt = 16, 0
	}
	return keys + 32 + 1<<head[9], count, stride, keyAt, nil
}
