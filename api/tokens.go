// Package api serves sealed rows to SIEMs and to the web pages: REST under /api/v1 with typed handlers and an OpenAPI 3.1 description, C2SP
// checkpoint and tiles for stock clients, and the sessions that the pages use. It reads the ledger and adds one kind of row to it: who was let in,
// and what left through an export.
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
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/renameio/v2"
)

// Roles. A role never implies another; a reader may have several.
const (
	RoleAuditor = "auditor" // reads metadata, verifies, exports proofs
	RoleOfficer = "officer" // may look at captured bodies, and is watched doing so
	RoleAdmin   = "admin"   // reads the configuration and who has access
)

// Roles lists every role.
var Roles = []string{RoleAuditor, RoleOfficer, RoleAdmin}

const (
	loginLife   = 30 * time.Minute // how long a one-time login waits to be used
	sessionLife = 12 * time.Hour
	mostLogins  = 64
	mostName    = 64 // bytes of a token's name
)

// Reader is who asks: a token or the session that it opened.
type Reader struct {
	Name  string
	Roles []string
	Local bool // a command on this host, which may read the ledger's files as well
}

// Has says whether the reader has a role.
func (r Reader) Has(role string) bool { return slices.Contains(r.Roles, role) }

// Token is an API token without its secret, which nobody keeps.
type Token struct {
	ID      string    `json:"id"` // the first digits of the secret's hash
	Name    string    `json:"name"`
	Role    string    `json:"role"`
	Created time.Time `json:"created"`
}

// Tokens knows who may read: API tokens in a file, as hashes; one-time logins and sessions in memory only. A file that another process changed is
// read again. Safe for concurrent use.
type Tokens struct {
	path string

	mu       sync.Mutex
	stored   []storedToken
	modified time.Time          // of the file when it was read
	logins   map[string]session // hash of the code → the session that it opens, until when it may
	sessions map[string]session // hash of the cookie → until when it lasts
	passing  []storedToken      // valid until this process ends
}

type storedToken struct {
	Hash    string    `json:"sha256"` // of the secret; a secret has 256 random bits, so no slow hash is needed
	Name    string    `json:"name,omitempty"`
	Role    string    `json:"role"`
	Created time.Time `json:"created"`

	local bool
}

func (s *storedToken) id() string { return s.Hash[:min(len(s.Hash), 8)] }

func (s *storedToken) reader() Reader {
	name := s.Name
	if name == "" {
		name = "token " + s.id()
	}
	return Reader{Name: name, Roles: []string{s.Role}, Local: s.local}
}

type session struct {
	until  time.Time
	reader Reader
}

// OpenTokens reads the tokens of an installation; a file that does not exist holds none.
func OpenTokens(path string) (*Tokens, error) {
	t := &Tokens{path: path, logins: map[string]session{}, sessions: map[string]session{}}
	return t, t.reload()
}

// reload reads the file if it changed. Callers hold mu, or are alone.
func (t *Tokens) reload() error {
	info, err := os.Stat(t.path)
	if errors.Is(err, os.ErrNotExist) {
		t.stored, t.modified = nil, time.Time{}
		return nil
	}
	if err != nil {
		return fmt.Errorf("read the tokens: %w", err)
	}
	if info.ModTime().Equal(t.modified) {
		return nil
	}
	text, err := os.ReadFile(t.path)
	if err != nil {
		return fmt.Errorf("read the tokens: %w", err)
	}
	var list []storedToken
	if err := json.Unmarshal(text, &list); err != nil {
		return fmt.Errorf("read the tokens in %s (remove the file to begin anew): %w", t.path, err)
	}
	t.stored, t.modified = list, info.ModTime()
	return nil
}

// Create makes an API token with a role and returns its secret, which is not kept. The name is for people and for the rows that say who read.
func (t *Tokens) Create(role, name string) (string, error) {
	if !slices.Contains(Roles, role) {
		return "", fmt.Errorf("role %q is not known; there are %s", role, strings.Join(Roles, ", "))
	}
	if len(name) > mostName || strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r == '"' || r == 0x7f }) {
		return "", fmt.Errorf("name %q: use up to %d bytes without quotes and control characters", name, mostName)
	}
	secret, err := newSecret("na_")
	if err != nil {
		return "", err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := t.reload(); err != nil {
		return "", err
	}
	return secret, t.store(append(slices.Clone(t.stored), storedToken{Hash: hashOf(secret), Name: name, Role: role, Created: time.Now().UTC().Truncate(time.Second)}))
}

// Remove takes a token away by its id. Sessions that it opened last until they end.
func (t *Tokens) Remove(id string) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := t.reload(); err != nil {
		return err
	}
	list := slices.DeleteFunc(slices.Clone(t.stored), func(s storedToken) bool { return s.id() == id })
	if len(list) == len(t.stored) {
		return fmt.Errorf("there is no token %q", id)
	}
	return t.store(list)
}

// store writes the file. Callers hold mu.
func (t *Tokens) store(list []storedToken) error {
	text, err := json.MarshalIndent(list, "", "  ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(t.path), 0o700); err != nil {
		return fmt.Errorf("keep the token: %w", err)
	}
	if err := renameio.WriteFile(t.path, append(text, '\n'), 0o600, renameio.WithTempDir(filepath.Dir(t.path))); err != nil {
		return fmt.Errorf("keep the token: %w", err)
	}
	t.stored, t.modified = list, time.Time{} // the next question reads it again
	return nil
}

// List is every stored token, the oldest first.
func (t *Tokens) List() ([]Token, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := t.reload(); err != nil {
		return nil, err
	}
	list := make([]Token, len(t.stored))
	for i := range t.stored {
		s := &t.stored[i]
		list[i] = Token{s.id(), s.Name, s.Role, s.Created}
	}
	return list, nil
}

// Passing makes a token with the auditor's role that is valid until this process ends.
func (t *Tokens) Passing() (string, error) {
	secret, err := newSecret("na_")
	if err != nil {
		return "", err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.passing = append(t.passing, storedToken{Hash: hashOf(secret), Name: "a command on this host", Role: RoleAuditor, Created: time.Now().UTC(), local: true})
	return secret, nil
}

// OneTimeLogin makes a code that opens one session with these roles, within half an hour; without one it is an auditor's.
func (t *Tokens) OneTimeLogin(roles ...string) (string, error) {
	if len(roles) == 0 {
		roles = []string{RoleAuditor}
	}
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
	t.logins[hashOf(code)] = session{time.Now().Add(loginLife), Reader{Name: "one-time login", Roles: roles}}
	return code, nil
}

// Redeem exchanges a one-time code for a session's cookie. A code works once.
func (t *Tokens) Redeem(code string) (cookie string, ok bool, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	expire(t.logins)
	h := hashOf(code)
	login, known := t.logins[h]
	if !known {
		return "", false, nil
	}
	delete(t.logins, h)
	cookie, err = t.open(login.reader)
	return cookie, err == nil, err
}

// Session opens a session for somebody who showed a valid token.
func (t *Tokens) Session(token string) (cookie string, ok bool, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	reader, ok := t.byToken(token)
	if !ok {
		return "", false, nil
	}
	cookie, err = t.open(reader)
	return cookie, err == nil, err
}

// open begins a session. Callers hold mu.
func (t *Tokens) open(r Reader) (cookie string, err error) {
	if cookie, err = newSecret(""); err != nil {
		return "", err
	}
	expire(t.sessions)
	t.sessions[hashOf(cookie)] = session{time.Now().Add(sessionLife), r}
	return cookie, nil
}

// BySession finds the reader of a living session by its cookie.
func (t *Tokens) BySession(cookie string) (Reader, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	s, ok := t.sessions[hashOf(cookie)]
	return s.reader, ok && time.Now().Before(s.until)
}

// EndSession logs out.
func (t *Tokens) EndSession(cookie string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.sessions, hashOf(cookie))
}

// ByToken finds the reader of a token by its secret.
func (t *Tokens) ByToken(secret string) (Reader, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.byToken(secret)
}

// byToken compares with every token, in constant time each. A file that cannot be read any more lets the tokens of before in. Callers hold mu.
func (t *Tokens) byToken(secret string) (Reader, bool) {
	_ = t.reload() // what was read last stays in effect
	h := []byte(hashOf(secret))
	var found *storedToken
	for _, list := range [][]storedToken{t.stored, t.passing} {
		for i := range list {
			if subtle.ConstantTimeCompare(h, []byte(list[i].Hash)) == 1 {
				found = &list[i]
			}
		}
	}
	if found == nil {
		return Reader{}, false
	}
	return found.reader(), true
}

func expire(m map[string]session) {
	now := time.Now()
	for k, s := range m {
		if now.After(s.until) {
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
