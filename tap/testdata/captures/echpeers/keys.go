package main

import (
	"crypto/ecdh"
	"crypto/rand"
	"crypto/tls"

	"golang.org/x/crypto/cryptobyte"
)

// keys are a server's for Encrypted Client Hello.
type keys struct {
	private *ecdh.PrivateKey
	config  []byte // one ECHConfig
	list    []byte // as DNS gives it
}

func newKeys(publicName string) (*keys, error) {
	private, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	config, err := configOf(private.PublicKey().Bytes(), publicName)
	if err != nil {
		return nil, err
	}
	var list cryptobyte.Builder
	list.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes(config) })
	whole, err := list.Bytes()
	return &keys{private, config, whole}, err
}

func (k *keys) server() []tls.EncryptedClientHelloKey {
	return []tls.EncryptedClientHelloKey{{Config: k.config, PrivateKey: k.private.Bytes(), SendAsRetry: true}}
}

// configOf is an ECHConfig with X25519, HKDF-SHA256 and AES-128-GCM.
func configOf(public []byte, publicName string) ([]byte, error) {
	var b cryptobyte.Builder
	b.AddUint16(0xfe0d)
	b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) {
		b.AddUint8(42)
		b.AddUint16(0x0020)
		b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes(public) })
		b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) { b.AddUint16(1); b.AddUint16(1) })
		b.AddUint8(0)
		b.AddUint8LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes([]byte(publicName)) })
		b.AddUint16(0)
	})
	return b.Bytes()
}
