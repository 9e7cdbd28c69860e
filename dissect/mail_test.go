package dissect

import (
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"netaudit/tap"
)

// said is one piece of a conversation.
type said struct {
	client bool
	bytes  string
}

// lines makes a conversation out of lines that begin with "c " or "s "; those of one side that follow each other are sent at once.
func lines(text string) (list []said) {
	for line := range strings.SplitSeq(strings.TrimSpace(text), "\n") {
		line = strings.TrimLeft(line, "\t")
		client, content := line[0] == 'c', strings.TrimPrefix(line[1:], " ")+"\r\n"
		if n := len(list); n > 0 && list[n-1].client == client {
			list[n-1].bytes += content
		} else {
			list = append(list, said{client, content})
		}
	}
	return list
}

// conversation returns the packets of a connection to a port. cut says into how long segments a piece is cut, 0 not at all.
func conversation(w *wire, port uint16, list []said, cut func() int) []tap.Packet {
	w.sport = port
	mine, theirs := uint32(1001), uint32(5001)
	packets := []tap.Packet{w.tcp(true, 1000, 0, "S", nil), w.tcp(false, 5000, 1001, "SA", nil), w.tcp(true, mine, theirs, "A", nil)}
	for _, s := range list {
		for rest := s.bytes; rest != ""; {
			n := len(rest)
			if cut != nil {
				n = min(n, cut())
			}
			if s.client {
				packets = append(packets, w.tcp(true, mine, theirs, "PA", []byte(rest[:n])))
				mine += uint32(n)
			} else {
				packets = append(packets, w.tcp(false, theirs, mine, "PA", []byte(rest[:n])))
				theirs += uint32(n)
			}
			rest = rest[n:]
		}
	}
	return packets
}

// TestMailDialoguesAreFollowedHoweverTheyAreCut: commands sent ahead of their answers, content that looks like commands, challenges, literals and lists.
func TestMailDialoguesAreFollowedHoweverTheyAreCut(t *testing.T) {
	for name, c := range map[string]struct {
		port         uint16
		state        string
		messages     uint32
		host, spoken string
	}{
		"SMTP ahead of its answers": {25, mailQuit, 2, "mx.example.org", `
			s 220-mx.example.org ESMTP
			s 220 no spam
			c EHLO a.example
			s 250-mx.example.org
			s 250 PIPELINING
			c MAIL FROM:<secret@a.example>
			c RCPT TO:<secret@b.example>
			c DATA
			s 250 ok
			s 250 ok
			s 354 go ahead
			c Subject: DATA
			c 250 ok
			c QUIT
			c .
			c MAIL FROM:<secret@a.example>
			c RCPT TO:<secret@b.example>
			c RCPT TO:<nobody@b.example>
			c BDAT 10
			c DATA
			c QUIT
			c BDAT 4 LAST
			c QU
			c QUIT
			s 250 queued
			s 250 ok
			s 250 ok
			s 550 no
			s 250 10 octets
			s 250 queued
			s 221 bye`},
		"SMTP with a challenge": {2525, mailAuthenticated, 0, "mx.example.org", `
			s 220 mx.example.org ESMTP
			c EHLO a.example
			s 250 AUTH LOGIN
			c AUTH LOGIN
			s 334 VXNlcm5hbWU6
			c QUIT
			s 334 UGFzc3dvcmQ6
			c STARTTLS
			s 235 welcome
			c NOOP
			s 250 ok`},
		"LMTP answers for every recipient": {24, mailTransfer, 1, "mx.example.org", `
			s 220 mx.example.org LMTP
			c LHLO a.example
			s 250 ok
			c MAIL FROM:<>
			s 250 ok
			c RCPT TO:<a>
			s 250 ok
			c RCPT TO:<b>
			s 250 ok
			c DATA
			s 354 go ahead
			c .
			s 250 a
			s 250 b
			c NOOP
			s 250 ok`},
		"IMAP with literals": {143, mailQuit, 2, "", `
			s * OK [CAPABILITY IMAP4rev1] server v2.3 is ready.
			c a1 LOGIN {6}
			s + OK
			c secret {6+}
			c a2 LOG secret
			s a1 OK logged in
			c a2 UID FETCH 1 (RFC822)
			s * 1 FETCH (RFC822 {21}
			s a2 OK not the answer
			s a3 OK neither)
			s a2 OK done
			c a4 APPEND INBOX {9}
			s + go ahead
			c a5 LOGOUT
			c
			s a4 OK appended
			c a6 LOGOUT
			s * BYE
			s a6 OK bye`},
		"IMAP answers with several messages, in pieces, and with none": {143, mailTransfer, 3, "", `
			s * OK ready
			c a1 SELECT INBOX
			s * 4 EXISTS
			s a1 OK done
			c a2 FETCH 1:* (FLAGS BODY.PEEK[HEADER])
			s * 1 FETCH (FLAGS (x) BODY[HEADER] {6}
			s a: b
			s )
			s * 2 FETCH (FLAGS (y) BODY[HEADER.FIELDS (TO)] {6}
			s a: b
			s )
			s a2 OK done
			c a3 UID FETCH 1:2 (BODY.PEEK[HEADER] BODY.PEEK[])
			s * 1 FETCH (BODY[HEADER] {6}
			s ab
			s cd BODY[] {6}
			s ab
			s cd UID 5)
			s * 2 FETCH (UID 6 body[] {6}
			s ab
			s cd)
			s a3 OK done
			c a4 FETCH 3 BODY.PEEK[]<0.4>
			s * 3 FETCH (BODY[]<0> {4}
			s ab
			s )
			s a4 OK done
			c a5 FETCH 3 BODY.PEEK[]<4.4>
			s * 3 FETCH (BODY[]<4> {4}
			s cd
			s )
			s * 1 FETCH (FLAGS (BODY[))
			s a5 OK BODY[] done`},
		"POP3 ahead of its answers": {110, mailQuit, 2, "pop.example.org", `
			s +OK pop.example.org ready
			c CAPA
			s +OK
			s UIDL
			s .
			c AUTH PLAIN
			s +
			c STLS
			s +OK welcome
			c LIST
			c RETR 1
			c LIST 1
			c RETR 2
			c QUIT
			s +OK
			s 1 100
			s .
			s +OK
			s +OK what the message says
			s -ERR
			s .
			s +OK 1 100
			s +OK
			s .
			s +OK bye`},
	} {
		t.Run(name, func(t *testing.T) {
			rapid.Check(t, func(r *rapid.T) {
				list := lines(c.spoken)
				cut := func() int { return rapid.IntRange(1, 60).Draw(r, "length") }
				if rapid.Bool().Draw(r, "whole") {
					cut = nil
				}
				f := onlyFlows(r2t{t, r}, run(conversation(newWire(t), c.port, list, cut)...), 1)[0]
				if f.Mail == nil || f.Mail.State != c.state || f.Mail.Messages != c.messages || f.Mail.GreetingHost != c.host || f.Mail.StartTLS {
					r.Errorf("%+v, want %s, %d messages, host %q", f.Mail, c.state, c.messages, c.host)
				}
				if f.Mail != nil && strings.Contains(fmt.Sprintf("%+v", *f.Mail), "secret") {
					r.Errorf("%+v", f.Mail)
				}
			})
		})
	}
}
