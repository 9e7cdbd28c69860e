// Command quicpeers is client and server of QUIC in its corners: version 2, version negotiation, Retry, early data, a refusal, and DNS over QUIC, at ports of their own.
// Used by peers.sh.
//
//	quicpeers ADDRESS CERT KEY
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"github.com/quic-go/quic-go"
)

func main() {
	if err := run(os.Args[1], os.Args[2], os.Args[3]); err != nil {
		fmt.Fprintln(os.Stderr, "quicpeers:", err)
		os.Exit(1)
	}
}

// peers holds what every call needs.
type peers struct {
	ctx     context.Context
	address string
	cert    tls.Certificate
	roots   *x509.CertPool
}

func run(address, certFile, keyFile string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	p := &peers{ctx: ctx, address: address, roots: x509.NewCertPool()}
	var err error
	if p.cert, err = tls.LoadX509KeyPair(certFile, keyFile); err != nil {
		return err
	}
	pem, err := os.ReadFile(certFile)
	if err != nil {
		return err
	}
	p.roots.AppendCertsFromPEM(pem)
	both, one, two := []quic.Version{quic.Version1, quic.Version2}, []quic.Version{quic.Version1}, []quic.Version{quic.Version2, quic.Version1}
	for _, s := range []struct {
		port     string
		versions []quic.Version
		retry    bool
		alpn     string
	}{{"443", both, false, "h3"}, {"4433", one, false, "h3"}, {"4443", both, true, "h3"}, {"853", both, false, "doq"}} {
		if err := p.serve(s.port, s.versions, s.retry, s.alpn); err != nil {
			return err
		}
	}
	cache := tls.NewLRUClientSessionCache(4)
	return errors.Join(
		p.call("443", "v2.partner.example", two[:1], "h3", nil),
		p.call("4433", "negotiated.partner.example", two, "h3", nil),
		p.call("4443", "retry.partner.example", one, "h3", nil),
		p.call("443", "early.partner.example", one, "h3", cache),
		p.call("443", "early.partner.example", one, "h3", cache),
		p.call("853", "dns.partner.example", one, "doq", nil),
		p.refused("443", "refused.partner.example"),
	)
}

// serve answers every stream with what it says.
func (p *peers) serve(port string, versions []quic.Version, retry bool, alpn string) error {
	conn, err := net.ListenPacket("udp", net.JoinHostPort(p.address, port))
	if err != nil {
		return err
	}
	t := &quic.Transport{Conn: conn, VerifySourceAddress: func(net.Addr) bool { return retry }}
	l, err := t.ListenEarly(&tls.Config{Certificates: []tls.Certificate{p.cert}, NextProtos: []string{alpn}}, &quic.Config{Versions: versions, Allow0RTT: true})
	if err != nil {
		return err
	}
	go func() {
		for {
			c, err := l.Accept(p.ctx)
			if err != nil {
				return
			}
			go func() {
				s, err := c.AcceptStream(p.ctx)
				if err != nil {
					return
				}
				_, _ = io.Copy(s, s)
				_ = s.Close()
			}()
		}
	}()
	return nil
}

func (p *peers) call(port, name string, versions []quic.Version, alpn string, cache tls.ClientSessionCache) error {
	config := &tls.Config{ServerName: name, RootCAs: p.roots, NextProtos: []string{alpn}, ClientSessionCache: cache}
	c, err := quic.DialAddrEarly(p.ctx, net.JoinHostPort(p.address, port), config, &quic.Config{Versions: versions})
	if err != nil {
		return fmt.Errorf("call %s: %w", name, err)
	}
	s, err := c.OpenStreamSync(p.ctx)
	if err != nil {
		return err
	}
	if _, err := s.Write([]byte("secret question")); err != nil {
		return err
	}
	if err := s.Close(); err != nil {
		return err
	}
	if _, err := io.ReadAll(s); err != nil {
		return err
	}
	time.Sleep(100 * time.Millisecond) // for the session ticket
	return c.CloseWithError(0, "")
}

// refused offers a protocol that the server does not speak.
func (p *peers) refused(port, name string) error {
	config := &tls.Config{ServerName: name, RootCAs: p.roots, NextProtos: []string{"other"}}
	if c, err := quic.DialAddr(p.ctx, net.JoinHostPort(p.address, port), config, &quic.Config{Versions: []quic.Version{quic.Version1}}); err == nil {
		return errors.Join(errors.New("the server did not refuse"), c.CloseWithError(0, ""))
	}
	return nil
}
