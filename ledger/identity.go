package ledger

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"

	"netaudit/ledger/proof"
)

// formatVersion is the version of everything on disk of a new log: keys, rows, files. Logs of the versions in layouts are read and go on as they are; another one is refused, never guessed at.
const formatVersion = 3

// identity is who a log is: its name, its key, its beginning. It is made once and never changes.
type identity struct {
	origin   string
	vkey     string
	genesis  []byte // the genesis record as stored
	format   uint32
	layout   layout
	verifier note.Verifier // of checkpoints
	signer   note.Signer   // nil when the log is only read

	sealKey    string      // vkey of the seals; "" for logs from before there were seals
	sealSigner note.Signer // nil when the log is only read
}

// genesis is the record that the chain of row hashes begins with.
type genesis struct {
	Format  int    `json:"format"`
	Origin  string `json:"origin"`
	VKey    string `json:"vkey"`
	Created string `json:"created"`
	SealKey string `json:"seal_vkey,omitempty"`
}

// chainStart is R of the row before the first: the hash of the genesis record.
func (id *identity) chainStart() [32]byte { return sha256.Sum256(id.genesis) }

// Paths under the state directory.
func badgerPath(dir string) string  { return filepath.Join(dir, "badger") }
func anchorPath(dir string) string  { return filepath.Join(dir, "anchor", "checkpoint") }
func genesisPath(dir string) string { return filepath.Join(dir, "anchor", "genesis.json") }
func signerPath(dir string) string  { return filepath.Join(dir, "keys", "checkpoint") }
func vkeyPath(dir string) string    { return filepath.Join(dir, "keys", "checkpoint.pub") }

// newIdentity makes a key and a genesis record, and the directories of a new log.
func newIdentity(dir, origin string, now time.Time) (*identity, error) {
	if origin == "" {
		host, err := os.Hostname()
		if err != nil {
			host = "unknown"
		}
		var id [4]byte
		if _, err := rand.Read(id[:]); err != nil {
			return nil, fmt.Errorf("choose the log's name: %w", err)
		}
		origin = "netaudit/" + host + "-" + hex.EncodeToString(id[:])
	}
	skey, vkey, err := note.GenerateKey(rand.Reader, origin)
	if err != nil {
		return nil, fmt.Errorf("make the log's key: %w", err)
	}
	sealSkey, sealVkey, err := note.GenerateKey(rand.Reader, proof.SealName(origin))
	if err != nil {
		return nil, fmt.Errorf("make the key of the seals: %w", err)
	}
	record, err := json.Marshal(genesis{formatVersion, origin, vkey, now.UTC().Format(time.RFC3339), sealVkey})
	if err != nil {
		return nil, err
	}
	for _, sub := range []string{"badger", "anchor", "seal", "vault", "keys"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o700); err != nil {
			return nil, fmt.Errorf("make the state directory: %w", err)
		}
	}
	err = errors.Join(
		writeDurably(signerPath(dir), []byte(skey+"\n"), 0o600),
		writeDurably(vkeyPath(dir), []byte(vkey+"\n"), 0o644),
		writeDurably(sealSignerPath(dir), []byte(sealSkey+"\n"), 0o600),
		writeDurably(sealVkeyPath(dir), []byte(sealVkey+"\n"), 0o644),
		writeDurably(genesisPath(dir), record, 0o644))
	if err != nil {
		return nil, fmt.Errorf("write the log's identity: %w", err)
	}
	return loadIdentity(dir, true)
}

// loadIdentity reads who the log is; with the secret key only when it is to be written.
func loadIdentity(dir string, withSigner bool) (*identity, error) {
	record, err := os.ReadFile(genesisPath(dir))
	if err != nil {
		return nil, fmt.Errorf("read the genesis record: %w", err)
	}
	var g genesis
	if err := json.Unmarshal(record, &g); err != nil {
		return nil, &DamagedError{Dir: dir, Where: "anchor/genesis.json", Detail: err.Error()}
	}
	layout, ok := layouts[g.Format]
	if !ok {
		return nil, &VersionError{Dir: dir, Got: g.Format}
	}
	stored, err := os.ReadFile(vkeyPath(dir))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &DamagedError{Dir: dir, Where: "keys/checkpoint.pub", Detail: "it is missing"}
	}
	if err != nil {
		return nil, fmt.Errorf("read the log's public key: %w", err)
	}
	id := &identity{origin: g.Origin, vkey: g.VKey, genesis: record, format: uint32(g.Format), layout: layout}
	if got := string(bytes.TrimSuffix(stored, []byte("\n"))); got != g.VKey {
		return nil, &DamagedError{Dir: dir, Where: "keys/checkpoint.pub", Detail: "it is not the key that the genesis record names"}
	}
	if id.verifier, err = note.NewVerifier(g.VKey); err != nil {
		return nil, &DamagedError{Dir: dir, Where: "anchor/genesis.json", Detail: err.Error()}
	}
	if id.verifier.Name() != g.Origin {
		return nil, &DamagedError{Dir: dir, Where: "anchor/genesis.json", Detail: "origin and key name differ"}
	}
	if id.sealKey = g.SealKey; id.sealKey != "" {
		if err := checkSealKey(dir, g); err != nil {
			return nil, err
		}
	}
	if withSigner {
		if id.signer, err = loadSigner(dir, "keys/checkpoint", id.verifier); err != nil {
			return nil, err
		}
	}
	if withSigner && id.sealKey != "" {
		verifier, err := note.NewVerifier(id.sealKey)
		if err != nil {
			return nil, &DamagedError{Dir: dir, Where: "anchor/genesis.json", Detail: err.Error()}
		}
		if id.sealSigner, err = loadSigner(dir, "keys/seal", verifier); err != nil {
			return nil, err
		}
	}
	return id, nil
}

// checkSealKey compares the published key of the seals with the one in the genesis record.
func checkSealKey(dir string, g genesis) error {
	stored, err := os.ReadFile(sealVkeyPath(dir))
	if err != nil {
		return &DamagedError{Dir: dir, Where: "keys/seal.pub", Detail: err.Error()}
	}
	if string(bytes.TrimSuffix(stored, []byte("\n"))) != g.SealKey {
		return &DamagedError{Dir: dir, Where: "keys/seal.pub", Detail: "it is not the key that the genesis record names"}
	}
	return nil
}

// loadSigner reads a secret key that must belong to a public one.
func loadSigner(dir, name string, public note.Verifier) (note.Signer, error) {
	secret, err := os.ReadFile(filepath.Join(dir, name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &DamagedError{Dir: dir, Where: name, Detail: "it is missing: nothing can be signed any more"}
	}
	if err != nil {
		return nil, fmt.Errorf("read the log's key: %w", err)
	}
	signer, err := note.NewSigner(strings.TrimSuffix(string(secret), "\n"))
	if err != nil {
		return nil, &DamagedError{Dir: dir, Where: name, Detail: err.Error()}
	}
	if signer.KeyHash() != public.KeyHash() || signer.Name() != public.Name() {
		return nil, &DamagedError{Dir: dir, Where: name, Detail: "it does not belong to " + name + ".pub"}
	}
	return signer, nil
}
