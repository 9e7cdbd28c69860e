package sandbox

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// serve starts the internet's servers: DNS on the resolver's address; HTTP on 80, HTTPS on 443 and SMTP with STARTTLS on
// 587 of every address.
func (s *Sandbox) serve(ctx context.Context) error {
	if err := s.writeResolvConf(); err != nil {
		return err
	}
	return s.internet.do(func() error {
		if err := s.serveDNS(); err != nil {
			return err
		}
		if err := s.serveHTTP(":80", nil); err != nil {
			return err
		}
		config := &tls.Config{GetCertificate: s.ca.leaf, MinVersion: tls.VersionTLS12}
		if err := s.serveHTTP(":443", config); err != nil {
			return err
		}
		return s.serveSMTP(ctx, ":587", config)
	})
}

// serveHTTP answers every request. The query says how: ms=N waits N milliseconds, bytes=N answers with N bytes.
func (s *Sandbox) serveHTTP(address string, config *tls.Config) error {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	if config != nil {
		l = tls.NewListener(l, config)
	}
	srv := &http.Server{
		Handler: http.HandlerFunc(answerHTTP), ReadHeaderTimeout: 10 * time.Second,
		ErrorLog: slog.NewLogLogger(s.config.Logger.Handler(), slog.LevelDebug), // clients that hang up in the middle of a handshake
	}
	srv.SetKeepAlivesEnabled(true)
	s.clients.Go(func() {
		if err := srv.Serve(l); err != nil && !errors.Is(err, http.ErrServerClosed) {
			s.config.Logger.Warn("the sandbox's HTTP server ended", "address", address, "error", err)
		}
	})
	s.onClose(srv.Close)
	return nil
}

// largestAnswer bounds what a client can ask the sandbox's web servers for, in bytes.
const largestAnswer = 16 << 20

func answerHTTP(w http.ResponseWriter, r *http.Request) {
	if _, err := io.Copy(io.Discard, r.Body); err != nil {
		return
	}
	if ms, err := strconv.Atoi(r.URL.Query().Get("ms")); err == nil && ms > 0 {
		select {
		case <-time.After(time.Duration(min(ms, 60_000)) * time.Millisecond):
		case <-r.Context().Done():
			return
		}
	}
	body := []byte("{\"status\": \"ok\"}\n")
	if n, err := strconv.Atoi(r.URL.Query().Get("bytes")); err == nil && n > 0 {
		body = make([]byte, min(n, largestAnswer))
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	_, _ = w.Write(body) // a client that hangs up is none of the server's business
}

// serveDNS answers A and AAAA for the known hosts, over UDP and TCP; everything else is NXDOMAIN.
func (s *Sandbox) serveDNS() error {
	zone := map[string][]netip.Addr{}
	for _, h := range s.config.Hosts {
		zone[dns.Fqdn(strings.ToLower(h.Name))] = h.Addrs
	}
	handler := dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		_ = w.WriteMsg(answerDNS(zone, q)) // a lost answer is asked for again
	})
	address := net.JoinHostPort(Resolver.String(), "53")
	packets, err := net.ListenPacket("udp", address)
	if err != nil {
		return fmt.Errorf("DNS: %w", err)
	}
	stream, err := net.Listen("tcp", address)
	if err != nil {
		return errors.Join(fmt.Errorf("DNS: %w", err), packets.Close())
	}
	for _, srv := range []*dns.Server{{PacketConn: packets, Handler: handler}, {Listener: stream, Handler: handler}} {
		started := make(chan struct{})
		srv.NotifyStartedFunc = func() { close(started) }
		s.clients.Go(func() {
			if err := srv.ActivateAndServe(); err != nil {
				s.config.Logger.Debug("the sandbox's DNS server ended", "error", err)
			}
		})
		<-started
		s.onClose(srv.Shutdown)
	}
	return nil
}

func answerDNS(zone map[string][]netip.Addr, q *dns.Msg) *dns.Msg {
	a := new(dns.Msg)
	a.SetReply(q)
	a.Authoritative, a.RecursionAvailable = true, true
	if len(q.Question) != 1 {
		a.Rcode = dns.RcodeFormatError
		return a
	}
	question := q.Question[0]
	addrs, known := zone[strings.ToLower(question.Name)]
	if !known {
		a.Rcode = dns.RcodeNameError
		return a
	}
	for _, addr := range addrs {
		header := dns.RR_Header{Name: question.Name, Rrtype: question.Qtype, Class: dns.ClassINET, Ttl: 60}
		switch {
		case question.Qtype == dns.TypeA && addr.Is4():
			a.Answer = append(a.Answer, &dns.A{Hdr: header, A: addr.AsSlice()})
		case question.Qtype == dns.TypeAAAA && addr.Is6():
			a.Answer = append(a.Answer, &dns.AAAA{Hdr: header, AAAA: addr.AsSlice()})
		}
	}
	return a
}

// serveSMTP takes mail, with STARTTLS (RFC 5321, RFC 3207), and forgets it.
func (s *Sandbox) serveSMTP(ctx context.Context, address string, config *tls.Config) error {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	ctx, hangUp := context.WithCancel(ctx)
	s.onClose(func() error {
		hangUp()
		return l.Close()
	})
	s.clients.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return // closed
			}
			s.clients.Go(func() {
				stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
				defer stop()
				_ = conn.SetDeadline(time.Now().Add(time.Minute))
				takeMail(conn, config)
			})
		}
	})
	return nil
}
