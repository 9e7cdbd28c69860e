package dissect

import "bytes"

// sshStream reads the version texts that both sides send first (RFC 4253 §4.2). Everything after them is encrypted or says little.
type sshStream struct {
	sides [2][]byte
	done  [2]bool
}

// longestSSHLine bounds a line before the version text, mostSSHHead what may stand before it (the RFC lets servers greet first).
const (
	longestSSHLine = 255
	mostSSHHead    = 4096
)

func (s *sshStream) data(e *Engine, c *conn, side int, b []byte, _ int64) {
	if s.done[side] {
		return
	}
	buffer := append(s.sides[side], b[:min(len(b), mostSSHHead)]...)
	for {
		i := bytes.IndexByte(buffer, '\n')
		if i < 0 {
			break
		}
		line := bytes.TrimRight(buffer[:i], "\r")
		buffer = buffer[i+1:]
		if bytes.HasPrefix(line, []byte("SSH-")) {
			s.version(e, c, side, line[:min(len(line), longestSSHLine)])
			break
		}
	}
	s.sides[side] = buffer
	if len(buffer) > mostSSHHead {
		s.done[side] = true
	}
	if s.done[initiator] && s.done[responder] {
		c.proto = nil
	}
}

func (s *sshStream) version(e *Engine, c *conn, side int, line []byte) {
	s.done[side] = true
	service := c.service()
	if side == initiator {
		service.Client = maskMail(e.text(line))
	} else {
		service.Server = maskMail(e.text(line))
	}
}

func (s *sshStream) gap(_ *Engine, c *conn, _ int, _ int) { c.proto = nil }
func (s *sshStream) end(*Engine, *conn)                   {}

// service returns what is known of the programs at both ends.
func (c *conn) service() *Service {
	if c.flow.Service == nil {
		c.flow.Service = &Service{}
	}
	return c.flow.Service
}

// mask hides a name and leaves what tells one from another in a list: "odoo" becomes "o***".
func mask(name []byte) string {
	if len(name) == 0 {
		return ""
	}
	first := name[0]
	if first <= ' ' || first > '~' {
		first = '*'
	}
	return string(first) + "***************"[:min(len(name)-1, 15)]
}
