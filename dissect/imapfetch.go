package dissect

import "bytes"

// imapFetch finds the messages in answers to FETCH (RFC 9051 §7.5.2): one command may ask for many, or for nothing but flags.
type imapFetch struct {
	under, counted string // numbers of the message that is answered about, and of the last one whose content came
}

// longestNumber is the length of a message's number: it has 32 bits.
const longestNumber = 10

// message says whether an untagged line, or what goes on behind content, begins a message's content. What comes in pieces, one command each, counts once. more says that the line announces
// content, behind which the answer goes on.
func (f *imapFetch) message(line []byte, more bool) bool {
	if rest, ok := bytes.CutPrefix(line, []byte("* ")); ok {
		number, data, _ := bytes.Cut(rest, []byte(" "))
		f.under = ""
		if len(number) <= longestNumber && hasPrefixFold(data, "FETCH (") {
			f.under = string(number)
		}
	}
	found := f.under != "" && f.under != f.counted && holdsContent(line)
	if found {
		f.counted = f.under
	}
	if !more {
		f.under = ""
	}
	return found
}

// holdsContent looks for a section that is more than a message's header.
func holdsContent(line []byte) bool {
	line = bytes.ToUpper(line[:min(len(line), longestLine)])
	for _, item := range [][]byte{[]byte("RFC822 "), []byte("RFC822.TEXT ")} {
		if i := bytes.Index(line, item); i >= 0 && (i == 0 || line[i-1] == ' ' || line[i-1] == '(') {
			return true
		}
	}
	_, section, ok := bytes.Cut(line, []byte("BODY["))
	name, _, closed := bytes.Cut(section, []byte("]"))
	return ok && closed && !bytes.Contains(name, []byte("HEADER")) && !bytes.HasSuffix(name, []byte("MIME"))
}

func hasPrefixFold(b []byte, prefix string) bool {
	return len(b) >= len(prefix) && bytes.EqualFold(b[:len(prefix)], []byte(prefix))
}
