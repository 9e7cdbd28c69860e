package sandbox

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"net"
	"strings"
)

// takeMail speaks the server's side of one SMTP dialogue until the client quits or hangs up. Network errors end it.
func takeMail(conn net.Conn, config *tls.Config) {
	defer func() { conn.Close() }()
	say := func(line string) { fmt.Fprintf(conn, "%s\r\n", line) }
	in := bufio.NewScanner(conn)
	say("220 smtp.mail.example ESMTP sandbox")
	for in.Scan() {
		verb, _, _ := strings.Cut(strings.ToUpper(in.Text()), " ")
		switch verb {
		case "EHLO":
			say("250-smtp.mail.example")
			say("250-STARTTLS")
			say("250 8BITMIME")
		case "STARTTLS":
			say("220 2.0.0 go ahead")
			conn = tls.Server(conn, config)
			in = bufio.NewScanner(conn)
		case "DATA":
			say("354 end with a dot")
			for in.Scan() && in.Text() != "." {
			}
			say("250 2.0.0 taken")
		case "QUIT":
			say("221 2.0.0 bye")
			return
		default:
			say("250 2.0.0 ok")
		}
	}
}
