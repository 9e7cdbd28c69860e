package main

import (
	"sync"
	"time"

	"github.com/pion/dtls/v4"
)

// sessions keeps what a client, or a server, goes on with.
type sessions struct {
	mu    sync.Mutex
	known map[string]dtls.Session
}

func newSessions() *sessions { return &sessions{known: map[string]dtls.Session{}} }

func (s *sessions) Set(key []byte, session dtls.Session) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.known[string(key)] = session
	return nil
}

func (s *sessions) Get(key []byte) (dtls.Session, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.known[string(key)], nil
}

func (s *sessions) Del(key []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.known, string(key))
	return nil
}

// Claim lets a ticket be used: it is used once here.
func (s *sessions) Claim([]byte, time.Time) (bool, error) { return true, nil }
