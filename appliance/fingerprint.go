package appliance

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// fingerprintKey is the installation's own salt for the fingerprint of first bytes: it ties a row to a capture that somebody
// holds, and reveals nothing to anybody else. It is made once and kept in keys/fingerprint (mode 0600).
func fingerprintKey(state string) (key [32]byte, err error) {
	path := filepath.Join(state, "keys", "fingerprint")
	stored, err := os.ReadFile(path)
	switch {
	case err == nil && len(stored) == len(key):
		copy(key[:], stored)
		return key, nil
	case err == nil:
		return key, fmt.Errorf("%s has %d bytes instead of %d: restore it from a backup, or remove it to begin with a new key", path, len(stored), len(key))
	case !errors.Is(err, os.ErrNotExist):
		return key, fmt.Errorf("read the fingerprint key: %w", err)
	}
	if _, err := rand.Read(key[:]); err != nil {
		return key, fmt.Errorf("make the fingerprint key: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return key, fmt.Errorf("make the directory for keys: %w", err)
	}
	if err := os.WriteFile(path, key[:], 0o600); err != nil {
		return key, fmt.Errorf("keep the fingerprint key: %w", err)
	}
	return key, nil
}
