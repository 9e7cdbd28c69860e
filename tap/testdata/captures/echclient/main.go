// Command echclient calls an HTTPS server with Encrypted Client Hello (RFC 9849): the real name is inside, the outer one is public.example. Server and client are
// crypto/tls in one process. Used by services.sh.
//
//	echclient ADDRESS CERT KEY
package main

import (
	"crypto/ecdh"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"os"

	"golang.org/x/crypto/cryptobyte"
)

func main() {
	if err := run(os.Args[1], os.Args[2], os.Args[3]); err != nil {
		fmt.Fprintln(os.Stderr, "echclient:", err)
		os.Exit(1)
	}
}

func run(address, certFile, keyFile string) error {
	cert, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		return err
	}
	key, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		return err
	}
	config, err := configOf(key.PublicKey().Bytes())
	if err != nil {
		return err
	}
	l, err := tls.Listen("tcp", address, &tls.Config{
		Certificates:             []tls.Certificate{cert},
		EncryptedClientHelloKeys: []tls.EncryptedClientHelloKey{{Config: config, PrivateKey: key.Bytes(), SendAsRetry: true}},
	})
	if err != nil {
		return err
	}
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = io.Copy(c, c)
			c.Close()
		}
	}()
	var list cryptobyte.Builder
	list.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes(config) })
	configs, err := list.Bytes()
	if err != nil {
		return err
	}
	roots := x509.NewCertPool()
	roots.AddCert(cert.Leaf)
	c, err := tls.Dial("tcp", address, &tls.Config{ServerName: "license.mit-odoo.de", RootCAs: roots, EncryptedClientHelloConfigList: configs})
	if err != nil {
		return err
	}
	defer c.Close()
	if !c.ConnectionState().ECHAccepted {
		return fmt.Errorf("the server did not take ECH")
	}
	_, err = c.Write([]byte("hello"))
	return err
}

// configOf is an ECHConfig with X25519, HKDF-SHA256 and AES-128-GCM.
func configOf(public []byte) ([]byte, error) {
	var b cryptobyte.Builder
	b.AddUint16(0xfe0d)
	b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) {
		b.AddUint8(1)
		b.AddUint16(0x0020)
		b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes(public) })
		b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) { b.AddUint16(1); b.AddUint16(1) })
		b.AddUint8(0)
		b.AddUint8LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes([]byte("public.example")) })
		b.AddUint16(0)
	})
	return b.Bytes()
}
