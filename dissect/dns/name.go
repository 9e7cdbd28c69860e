package dns

// longestName is the length of a name on the wire, in bytes (RFC 1035 §2.3.4).
const longestName = 255

// mostPointers bounds the compression pointers of one name: a name has at most 127 labels, and honest messages compress it once.
const mostPointers = 126

// mostSpelled bounds the names that are remembered by their place.
const mostSpelled = 16

// name spells the name at an offset and returns the offset behind it.
func (m *Message) name(at int) (Name, int, error) {
	if pointer, ok := m.pointer(at); ok { // the whole name is a reference, nearly always to one that was spelled before
		for _, s := range m.names {
			if s.offset == pointer {
				return s.name, at + 2, nil
			}
		}
	}
	n, next, err := m.spell(at)
	if err == nil && len(m.names) < mostSpelled {
		m.names = append(m.names, spelled{at, n})
	}
	return n, next, err
}

// spell returns a name that stands in full from the words, when it was spelled before: there are many messages and few names.
func (m *Message) spell(at int) (n Name, next int, err error) {
	end := m.plainName(at)
	if end > 0 {
		if n.text = m.words.find(m.raw[at:end]); n.text != "" {
			return n, end, nil
		}
	}
	m.text = m.text[:0]
	if next, err = m.labels(at); err != nil {
		return Name{}, 0, err
	}
	if len(m.text) == 0 {
		m.text = append(m.text, '.')
	}
	if end > 0 {
		return Name{m.words.add(m.raw[at:end], m.text)}, next, nil
	}
	if n.text = m.words.find(m.text); n.text == "" {
		n.text = m.words.add(m.text, m.text)
	}
	return n, next, nil
}

// plainName returns the offset behind a name that stands in full, without pointers; 0 for all else.
func (m *Message) plainName(at int) (end int) {
	for b := m.raw; at < len(b) && b[at]&0xc0 == 0; at += 1 + int(b[at]) {
		if b[at] == 0 {
			return at + 1
		}
	}
	return 0
}

func (m *Message) pointer(at int) (int, bool) {
	if at+1 < len(m.raw) && m.raw[at]&0xc0 == 0xc0 {
		return int(m.raw[at]&0x3f)<<8 | int(m.raw[at+1]), true
	}
	return 0, false
}

// labels appends the labels of a name to the text. Pointers must lead before the place where the name, or the part of it that the last pointer led to,
// began: so every chain of them ends.
func (m *Message) labels(at int) (next int, err error) {
	begin, length, pointers, first := at, 0, 0, true
	for {
		if at >= len(m.raw) {
			return 0, ErrShort
		}
		n := int(m.raw[at])
		switch {
		case n == 0:
			if next == 0 {
				next = at + 1
			}
			return next, nil
		case n&0xc0 == 0xc0:
			to, ok := m.pointer(at)
			if !ok {
				return 0, ErrShort
			}
			if pointers++; to >= begin || pointers > mostPointers {
				return 0, ErrPointer
			}
			if next == 0 {
				next = at + 2
			}
			at, begin = to, to
			continue
		case n&0xc0 != 0:
			return 0, ErrName
		}
		if at+1+n > len(m.raw) {
			return 0, ErrShort
		}
		if length += 1 + n; length > longestName {
			return 0, ErrName
		}
		if !first {
			m.text = append(m.text, '.')
		}
		first = false
		m.text = appendLabel(m.text, m.raw[at+1:at+1+n])
		at += 1 + n
	}
}

// appendLabel writes a label in lower case. A dot, a backslash and whatever is not printable ASCII is escaped (RFC 1035 §5.1, RFC 4343 §2.1).
func appendLabel(text, label []byte) []byte {
	for _, c := range label {
		switch {
		case c >= 'A' && c <= 'Z':
			text = append(text, c+'a'-'A')
		case c == '.' || c == '\\':
			text = append(text, '\\', c)
		case c <= ' ' || c > '~':
			text = append(text, '\\', '0'+c/100, '0'+c/10%10, '0'+c%10)
		default:
			text = append(text, c)
		}
	}
	return text
}
