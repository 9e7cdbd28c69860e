package pystack

// lineAt gives the line of the instruction at byte offset off. Offsets outside the table give the first line.
func lineAt(minor int, table []byte, first, off int) int {
	switch {
	case off < 0:
		return first
	case minor <= 9:
		return lnotab(table, first, off)
	case minor == 10:
		return linetable310(table, first, off)
	}
	return locations(table, first, off)
}

// lnotab: pairs of unsigned address and signed line increments (Objects/lnotab_notes.txt, 3.9).
func lnotab(table []byte, line, off int) int {
	addr := 0
	for i := 0; i+1 < len(table); i += 2 {
		addr += int(table[i])
		if addr > off {
			break
		}
		line += int(int8(table[i+1]))
	}
	return line
}

// linetable310: pairs of address range length and signed line increment, -128 for no line (PEP 626).
func linetable310(table []byte, line, off int) int {
	end := 0
	for i := 0; i+1 < len(table); i += 2 {
		end += int(table[i])
		if d := int8(table[i+1]); d != -128 {
			line += int(d)
		}
		if off < end {
			break
		}
	}
	return line
}

// locations: the location table of 3.11 and later (Objects/locations.md).
func locations(table []byte, line, off int) int {
	addr := 0
	for i := 0; i < len(table); {
		b := table[i]
		i++
		if b&0x80 == 0 {
			break
		}
		addr += 2 * (int(b&7) + 1)
		switch code := b >> 3 & 15; {
		case code == 15:
		case code >= 13:
			d := 0
			d, i = svarint(table, i)
			line += d
		case code >= 10:
			line += int(code) - 10
		}
		if off < addr {
			break
		}
		for i < len(table) && table[i]&0x80 == 0 { // the columns
			i++
		}
	}
	return line
}

func svarint(table []byte, i int) (int, int) {
	var v uint64
	for shift := 0; i < len(table) && shift <= 30; shift += 6 {
		b := table[i]
		i++
		v |= uint64(b&63) << shift
		if b&64 == 0 {
			break
		}
	}
	if v&1 == 1 {
		return -int(v >> 1), i
	}
	return int(v >> 1), i
}
