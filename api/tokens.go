// Package api serves sealed rows to SIEMs and to the web pages: REST under /api/v1 with typed handlers and an OpenAPI 3.1 description, C2SP
// checkpoint and tiles for stock clients, and the sessions that the pages use. It reads the ledger and changes nothing in it.
package api

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/google/renameio/v2"
)

// Roles. A role never implies another.
const (
	RoleAuditor = "auditor" // reads metadata, verifies, exports proofs
)

const (
	loginLife   = 30 * time.Minute // how long a one-time login waits to be used
	sessionLife = 12 * time.Hour
	mostLogins  = 64
)

// Tokens knows who may read: API tokens in a file, as hashes; one-time logins and sessions in memory only. Safe for concurrent use.
type Tokens struct {
	path string

	mu       sync.Mutex
	stored   []storedToken
	logins   map[string]time.Time // hash of the code → when it expires
	sessions map[string]time.Time // hash of the cookie → when it expires
	passing  []storedToken        // valid until this process ends
}

type storedToken struct {
	Hash    string    `json:"sha256"` // of the secret; a secret has 256 random bits, so no slow hash is needed
	Role    string    `json:"role"`
	Created time.Time `json:"created"`
}

// OpenTokens reads the tokens of an installation; a file that does not exist holds none.
func OpenTokens(path string) (*Tokens, error) {
	t := &Tokens{path: path, logins: map[string]time.Time{}, sessions: map[string]time.Time{}}
	text, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return t, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the tokens: %w", err)
	}
	if err := json.Unmarshal(text, &t.stored); err != nil {
		return nil, fmt.Errorf("read the tokens in %s (remove the file to begin anew): %w", path, err)
	}
	return t, nil
}

// Create makes an API token with a role and returns its secret, which is not kept.
func (t *Tokens) Create(role string) (string, error) {
	if role != RoleAuditor {
		return "", fmt.Errorf("role %q is not known; there is %s", role, RoleAuditor)
	}
	secret, err := newSecret("na_")
	if err != nil {
		return "", err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	list := append(t.stored, storedToken{hashOf(secret), role, time.Now().UTC().Truncate(time.Second)})
	text, err := json.MarshalIndent(list, "", "  ")
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(filepath.Dir(t.path), 0o700); err != nil {
		return "", fmt.Errorf("keep the token: %w", err)
	}
	if err := renameio.WriteFile(t.path, append(text, '\n'), 0o600); err != nil {
		return "", fmt.Errorf("keep the token: %w", err)
	}
	t.stored = list
	return secret, nil
}

// Passing makes a token with the auditor's role that is valid until this process ends.
func (t *Tokens) Passing() (string, error) {
	secret, err := newSecret("na_")
	if err != nil {
		return "", err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.passing = append(t.passing, storedToken{hashOf(secret), RoleAuditor, time.Now().UTC()})
	return secret, nil
}

// OneTimeLogin makes a code that opens one session of the auditor's role, within half an hour.
func (t *Tokens) OneTimeLogin() (string, error) {
	code, err := newSecret("")
	if err != nil {
		return "", err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	expire(t.logins)
	if len(t.logins) >= mostLogins {
		return "", errors.New("too many unused logins; wait until they expire")
	}
	t.logins[hashOf(code)] = time.Now().Add(loginLife)
	return code, nil
}

// Redeem exchanges a one-time code for a session's cookie. A code works once.
func (t *Tokens) Redeem(code string) (cookie string, ok bool, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	expire(t.logins)
	h := hashOf(code)
	if _, known := t.logins[h]; !known {
		return "", false, nil
	}
	delete(t.logins, h)
	if cookie, err = newSecret(""); err != nil {
		return "", false, err
	}
	expire(t.sessions)
	t.sessions[hashOf(cookie)] = time.Now().Add(sessionLife)
	return cookie, true, nil
}

// Session opens a session for somebody who showed a valid token.
func (t *Tokens) Session(token string) (cookie string, ok bool, err error) {
	if !t.ValidToken(token) {
		return "", false, nil
	}
	if cookie, err = newSecret(""); err != nil {
		return "", false, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	expire(t.sessions)
	t.sessions[hashOf(cookie)] = time.Now().Add(sessionLife)
	return cookie, true, nil
}

// ValidSession says whether a cookie belongs to a living session.
func (t *Tokens) ValidSession(cookie string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	until, ok := t.sessions[hashOf(cookie)]
	return ok && time.Now().Before(until)
}

// EndSession logs out.
func (t *Tokens) EndSession(cookie string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.sessions, hashOf(cookie))
}

// ValidToken says whether a secret is that of a token. All are compared, in constant time each.
func (t *Tokens) ValidToken(secret string) bool {
	h := []byte(hashOf(secret))
	t.mu.Lock()
	defer t.mu.Unlock()
	found := 0
	for _, list := range [][]storedToken{t.stored, t.passing} {
		for _, s := range list {
			found |= subtle.ConstantTimeCompare(h, []byte(s.Hash))
		}
	}
	return found == 1
}

func expire(m map[string]time.Time) {
	now := time.Now()
	for k, until := range m {
		if now.After(until) {
			delete(m, k)
		}
	}
}

func newSecret(prefix string) (string, error) {
	var b [32]byte
	if _, err := rand.Read(b[:]); err != nil {
		return "", fmt.Errorf("make a secret: %w", err)
	}
	return prefix + base64.RawURLEncoding.EncodeToString(b[:]), nil
}

func hashOf(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return hex.EncodeToString(sum[:])
}
