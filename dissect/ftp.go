package dissect

import (
	"bytes"
	"strconv"
)

// ftpStream follows an FTP control connection (RFC 959): where data connections will be, until TLS begins (RFC 4217). Names of files and persons are passed over.
type ftpStream struct {
	lines  [2]lineReader
	spoken bool // the client has said something
}

// longestFTPLine bounds a line; what counts is shorter, names of files may be longer.
const longestFTPLine = 256

func (s *ftpStream) data(e *Engine, c *conn, side int, b []byte, now int64) {
	if side == initiator && s.spoken && isClientHello(b) || side == responder && isServerTLS(nil, b) {
		c.proto = e.newTLSStream(c, "ftp")
		c.proto.data(e, c, side, b, now)
		return
	}
	s.spoken = s.spoken || side == initiator
	for len(b) > 0 {
		var line []byte
		if line, b = s.lines[side].next(b, longestFTPLine); line == nil {
			continue
		}
		if port := dataPort(side, line); port != 0 {
			e.announce(c, side, port, "ftp-data", now)
		}
	}
}

func (s *ftpStream) gap(_ *Engine, _ *conn, side int, _ int) { s.lines[side] = lineReader{long: true} }
func (s *ftpStream) end(*Engine, *conn)                      {}

// dataPort reads at which of its ports a side awaits the data connection: the client says it in PORT and EPRT, the server in its answers to PASV and EPSV (RFC 959 §4.1.2, RFC 2428). 0 is none.
func dataPort(side int, line []byte) uint16 {
	command, rest, _ := bytes.Cut(line, []byte(" "))
	switch {
	case side == initiator && bytes.EqualFold(command, []byte("PORT")):
		return hostPort(rest)
	case side == initiator && bytes.EqualFold(command, []byte("EPRT")):
		return extendedPort(rest)
	case side == responder && string(command) == "227":
		if i := bytes.IndexAny(rest, "0123456789"); i >= 0 { // some leave the parentheses out (RFC 1123 §4.1.2.6)
			return hostPort(rest[i:])
		}
	case side == responder && string(command) == "229":
		if i := bytes.IndexByte(rest, '('); i >= 0 {
			return extendedPort(rest[i+1:])
		}
	}
	return 0
}

// hostPort is the port of "h1,h2,h3,h4,p1,p2".
func hostPort(text []byte) uint16 {
	var numbers [6]uint64
	for i := range numbers {
		n := 0
		for n < len(text) && text[n] >= '0' && text[n] <= '9' {
			n++
		}
		var err error
		if numbers[i], err = strconv.ParseUint(string(text[:n]), 10, 8); err != nil {
			return 0
		}
		if text = text[n:]; i < len(numbers)-1 {
			if len(text) == 0 || text[0] != ',' {
				return 0
			}
			text = text[1:]
		}
	}
	return uint16(numbers[4]<<8 | numbers[5])
}

// extendedPort is the port of "|protocol|address|port|", whatever stands for the bars.
func extendedPort(text []byte) uint16 {
	if len(text) == 0 {
		return 0
	}
	parts := bytes.SplitN(text[1:], text[:1], 4)
	if len(parts) < 4 {
		return 0
	}
	n, err := strconv.ParseUint(string(parts[2]), 10, 16)
	if err != nil {
		return 0
	}
	return uint16(n)
}

// lineReader cuts what a side says into lines. Of one that is too long nothing is given out.
type lineReader struct {
	begin []byte // of the line under way
	long  bool   // it is too long, or its beginning was lost
}

// next takes from b up to the end of a line, and returns the line without its end, nil when it is not there yet. The line is good until the next call.
func (r *lineReader) next(b []byte, longest int) (line, rest []byte) {
	i := bytes.IndexByte(b, '\n')
	if i < 0 {
		if r.long = r.long || len(r.begin)+len(b) > longest; !r.long {
			r.begin = append(r.begin, b...)
		}
		return nil, nil
	}
	begin, long := r.begin, r.long || len(r.begin)+i > longest
	r.begin, r.long = r.begin[:0], false
	if long {
		return nil, b[i+1:]
	}
	return bytes.TrimSuffix(append(begin, b[:i]...), []byte("\r")), b[i+1:]
}
