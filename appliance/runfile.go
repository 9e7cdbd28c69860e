package appliance

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/google/renameio/v2"
)

// Running tells commands of the same machine how to ask the appliance that holds a ledger. It lies in the state directory, readable by its owner
// alone, while the appliance runs.
type Running struct {
	URL   string `json:"url"`   // of the API
	Token string `json:"token"` // auditor role, forgotten when the appliance ends
	PID   int    `json:"pid"`
}

func runningPath(state string) string { return filepath.Join(state, "run.json") }

// ReadRunning reads how to ask the appliance that holds the ledger in a state directory.
func ReadRunning(state string) (Running, error) {
	var r Running
	text, err := os.ReadFile(runningPath(state))
	if err != nil {
		return r, fmt.Errorf("find the running netaudit: %w", err)
	}
	if err := json.Unmarshal(text, &r); err != nil {
		return r, fmt.Errorf("read %s: %w", runningPath(state), err)
	}
	return r, nil
}

// announceRunning writes the file; the returned function removes it.
func announceRunning(state string, r Running) (remove func() error, err error) {
	text, err := json.Marshal(r)
	if err != nil {
		return nil, err
	}
	path := runningPath(state)
	if err := renameio.WriteFile(path, append(text, '\n'), 0o600, renameio.WithTempDir(state)); err != nil {
		return nil, fmt.Errorf("tell other commands how to ask this netaudit: %w", err)
	}
	return func() error {
		if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("remove %s: %w", path, err)
		}
		return nil
	}, nil
}
