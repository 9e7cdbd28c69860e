package ledger

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"time"

	"netaudit/ledger/proof"
)

// sealState is the running epoch: the day that will be sealed next, and its key. It lies in a file of its own and never in the store, whose old versions and backups would keep
// keys that are to be forgotten. Nobody can promise that a disk forgets; docs/ledger.md says so.
type sealState struct {
	Epoch uint64 `json:"epoch"`
	Day   uint32 `json:"day"`  // days since the Unix epoch, UTC
	Key   string `json:"key"`  // proof.SealKey of this epoch
	Last  string `json:"last"` // SHA-256 of the newest seal, of the genesis record before the first, hex

	key      proof.SealKey
	previous [32]byte // hash of the newest seal, of the genesis record before the first
	last     *proof.Seal
}

func sealStatePath(dir string) string { return filepath.Join(dir, "seal", "key") }

// sealPath is where the seal of a day lies: seal/2026-11-23.
func sealPath(dir string, day uint32) string { return filepath.Join(dir, "seal", dayName(day)) }

func dayName(day uint32) string { return dayTime(day).Format(time.DateOnly) }

func dayTime(day uint32) time.Time { return time.Unix(int64(day)*secondsOfDay, 0).UTC() }

const secondsOfDay = 24 * 60 * 60

// dayAt is the UTC day of a time in nanoseconds.
func dayAt(ns int64) uint32 { return uint32(ns / (secondsOfDay * int64(time.Second))) }

// beginSeals makes the key of the first day and returns it: it must be kept elsewhere.
func beginSeals(dir string, id *identity, now time.Time) (proof.SealKey, error) {
	key, err := proof.NewSealKey()
	if err != nil {
		return key, err
	}
	s := &sealState{Day: dayAt(now.UnixNano()), key: key, previous: id.chainStart()}
	return key, s.write(dir)
}

func (s *sealState) write(dir string) error {
	s.Key, s.Last = s.key.String(), hex.EncodeToString(s.previous[:])
	text, err := json.Marshal(s)
	if err != nil {
		return err
	}
	if err := writeDurably(sealStatePath(dir), append(text, '\n'), 0o600); err != nil {
		return fmt.Errorf("keep the seal key: %w", err)
	}
	return nil
}

// loadSealState reads the running epoch. A seal that was written just before a crash, before its key was forgotten, ends its epoch now.
func loadSealState(dir string, id *identity) (*sealState, error) {
	text, err := os.ReadFile(sealStatePath(dir))
	if err != nil {
		return nil, &DamagedError{Dir: dir, Where: "seal/key", Detail: err.Error()}
	}
	var s sealState
	if err = json.Unmarshal(text, &s); err == nil {
		s.key, err = proof.ParseSealKey(s.Key)
	}
	if err != nil {
		return nil, &DamagedError{Dir: dir, Where: "seal/key", Detail: err.Error()}
	}
	s.previous = id.chainStart()
	if s.Epoch > 0 {
		if err := s.adopt(dir, id, s.Day-1, nil); err != nil {
			return nil, err
		}
	}
	for { // more than one when an older seal/key was put back: a seal that exists is never written again
		if _, err := os.Stat(sealPath(dir, s.Day)); err != nil {
			return &s, nil
		}
		if err := s.adopt(dir, id, s.Day, &s.key); err != nil {
			return nil, err
		}
		if err := s.advance(dir); err != nil {
			return nil, err
		}
	}
}

// adopt reads the seal of a day as the newest one.
func (s *sealState) adopt(dir string, id *identity, day uint32, key *proof.SealKey) error {
	text, err := os.ReadFile(sealPath(dir, day))
	if err != nil {
		return &DamagedError{Dir: dir, Where: "seal/" + dayName(day), Detail: err.Error()}
	}
	last, err := proof.OpenSeal(text, id.sealKey, key)
	if err != nil {
		return &DamagedError{Dir: dir, Where: "seal/" + dayName(day), Detail: err.Error()}
	}
	s.last, s.previous = &last, sha256.Sum256(text)
	return nil
}

// advance begins the next epoch and forgets the key of the one that ended.
func (s *sealState) advance(dir string) error {
	s.Epoch, s.Day, s.key = s.Epoch+1, s.Day+1, s.key.Next()
	return s.write(dir)
}

// sealsFit compares the newest seal and the running epoch with the rows. A day's seal is written before the first row of a later day: seals that speak of more rows than there are, or rows of days that
// are not sealed, mean that one of the two was set back.
func (s *sequencer) sealsFit(size uint64) error {
	if last := s.seals.last; last != nil && last.Size > size {
		return s.l.damaged("seal/"+last.Day, fmt.Sprintf("it speaks of %d rows, the log has %d", last.Size, size))
	}
	if n := len(s.days); n > 0 && s.days[n-1].day > s.seals.Day {
		return s.l.damaged("seal", fmt.Sprintf("there are rows of %s, and %s is not sealed", dayName(s.days[n-1].day), dayName(s.seals.Day)))
	}
	return nil
}

// sealDays seals every day that is over, empty ones too, before the first row of a later day is written. Time in the log never goes back, so no day is opened again.
func (s *sequencer) sealDays(now int64) error {
	if s.seals == nil {
		return nil
	}
	for today := dayAt(now); s.seals.Day < today; {
		if err := s.sealDay(today); err != nil {
			return fmt.Errorf("seal %s: %w", dayName(s.seals.Day), err)
		}
	}
	return nil
}

func (s *sequencer) sealDay(today uint32) error {
	c := s.l.Checkpoint()
	seal := proof.Seal{
		Origin: s.l.id.origin, Epoch: s.seals.Epoch, Day: dayName(s.seals.Day), Size: c.Size, Root: c.Root, Chain: s.chain,
		First: "-", Last: "-", Minimum: s.l.minimum(), Previous: s.seals.previous, Late: today > s.seals.Day+1,
	}
	if n := len(s.days); n > 0 && s.days[n-1].day == s.seals.Day {
		d := s.days[n-1]
		seal.Rows = d.last - d.first + 1
		var err error
		if seal.First, err = s.l.loggedAt(d.first); err != nil {
			return err
		}
		if seal.Last, err = s.l.loggedAt(d.last); err != nil {
			return err
		}
	}
	text, err := s.seals.key.Sign(&seal, s.l.id.sealSigner)
	if err != nil {
		return err
	}
	// If we crash here, the day is not sealed: the next start does it.
	if err := s.l.step("seal file", func() error { return writeDurably(sealPath(s.l.dir, s.seals.Day), text, 0o644) }); err != nil {
		return err
	}
	// If we crash here, the next start finds the seal and only forgets the key.
	s.seals.last, s.seals.previous = &seal, sha256.Sum256(text)
	if err := s.l.step("seal key", func() error { return s.seals.advance(s.l.dir) }); err != nil {
		return err
	}
	s.l.lastSeal.Store(s.seals.last)
	return nil
}

// loggedAt is when a row was logged, as it stands in the row.
func (l *Ledger) loggedAt(seq uint64) (string, error) {
	row, err := l.Row(seq)
	if err != nil {
		return "", err
	}
	e, err := ParseEvent(row.JSON)
	if err != nil {
		return "", fmt.Errorf("row %d: %w", seq, err)
	}
	return string(appendTime(nil, e.Logged)), nil
}

// LastSeal is the newest seal; nil on the log's first day, and for logs from before there were seals.
func (l *Ledger) LastSeal() *proof.Seal { return l.lastSeal.Load() }

// FirstSealKey is the key of a log's first day, for its owner to keep elsewhere, while that day lasts.
func FirstSealKey(dir string) (proof.SealKey, error) {
	text, err := os.ReadFile(sealStatePath(dir))
	if err != nil {
		return proof.SealKey{}, fmt.Errorf("read the seal key: %w", err)
	}
	var s sealState
	if err := json.Unmarshal(text, &s); err != nil {
		return proof.SealKey{}, fmt.Errorf("read the seal key: %w", err)
	}
	if s.Epoch > 0 {
		return proof.SealKey{}, fmt.Errorf("the first day of this log is over and its key was forgotten, as it must be (epoch %d runs)", s.Epoch)
	}
	return proof.ParseSealKey(s.Key)
}

// readLastSeal is for a log that is only read: its running epoch belongs to the writer.
func (l *Ledger) readLastSeal() error {
	texts, err := readSeals(l.dir)
	if err != nil || len(texts) == 0 || l.id.sealKey == "" {
		return err
	}
	last, err := proof.OpenSeal(texts[len(texts)-1], l.id.sealKey, nil)
	if err != nil {
		return l.damaged("seal", err.Error())
	}
	l.lastSeal.Store(&last)
	return nil
}

// SealVerifierKey is the public key of the seals as a C2SP vkey, "" for logs from before there were seals.
func (l *Ledger) SealVerifierKey() string { return l.id.sealKey }

// Seals reads the texts of all seals, oldest first.
func (l *Ledger) Seals() ([][]byte, error) { return readSeals(l.dir) }

// SealFiles reads the seals and the public keys out of a state directory, whether or not a netaudit runs on it.
func SealFiles(dir string) (seals [][]byte, vkey string, err error) {
	id, err := loadIdentity(dir, false)
	if err != nil {
		return nil, "", err
	}
	seals, err = readSeals(dir)
	return seals, id.sealKey, err
}

func readSeals(dir string) ([][]byte, error) {
	entries, err := os.ReadDir(filepath.Join(dir, "seal"))
	if err != nil {
		return nil, fmt.Errorf("read the seals: %w", err)
	}
	var names []string
	for _, e := range entries {
		if _, err := time.Parse(time.DateOnly, e.Name()); err == nil {
			names = append(names, e.Name())
		}
	}
	sort.Strings(names)
	texts := make([][]byte, 0, len(names))
	for _, name := range names {
		text, err := os.ReadFile(filepath.Join(dir, "seal", name))
		if err != nil {
			return nil, fmt.Errorf("read the seals: %w", err)
		}
		texts = append(texts, text)
	}
	return texts, nil
}

// checkSeals checks the seals of a log among themselves and against the running epoch. What they say about rows is checked where the rows are.
func checkSeals(dir string, id *identity, newest uint32) (proof.Seals, error) {
	if id.sealKey == "" {
		return nil, nil
	}
	state, texts, err := readEpoch(dir)
	if err != nil {
		return nil, err
	}
	seals, err := proof.CheckSeals(texts, id.sealKey, nil)
	if err != nil {
		return nil, &badPlace{where: "seal", detail: err.Error()}
	}
	if len(seals) > 0 && (seals[0].Epoch != 0 || seals[0].Previous != id.chainStart()) {
		return nil, &badPlace{where: "seal/" + seals[0].Day, detail: "it is not the log's first: earlier seals are missing"}
	}
	if state == nil {
		return seals, nil // an auditor without the right to the key
	}
	return seals, state.fits(id, seals, texts, newest)
}

// readEpoch reads the running epoch and the seals as they were at one moment: a day may end meanwhile. The epoch is nil for an auditor without the right to the key.
func readEpoch(dir string) (state *sealState, texts [][]byte, err error) {
	for {
		before, keyErr := os.ReadFile(sealStatePath(dir))
		if texts, err = readSeals(dir); err != nil {
			return nil, nil, &badPlace{where: "seal", detail: err.Error()}
		}
		if errors.Is(keyErr, os.ErrPermission) {
			return nil, texts, nil
		}
		if keyErr == nil {
			var after []byte
			if after, keyErr = os.ReadFile(sealStatePath(dir)); keyErr == nil && !bytes.Equal(before, after) {
				continue
			}
		}
		if keyErr == nil {
			if keyErr = json.Unmarshal(before, &state); keyErr == nil && state == nil {
				keyErr = errors.New("it is empty")
			}
		}
		if keyErr != nil {
			return nil, nil, &badPlace{where: "seal/key", detail: keyErr.Error()}
		}
		return state, texts, nil
	}
}

// fits compares the running epoch with the seals, and with the day of the newest row.
func (s *sealState) fits(id *identity, seals proof.Seals, texts [][]byte, newest uint32) error {
	if n := uint64(len(seals)); n != s.Epoch && n != s.Epoch+1 || n == s.Epoch+1 && seals[n-1].Day != dayName(s.Day) {
		return &badPlace{where: "seal", detail: fmt.Sprintf("the running epoch is %d, and there are %d seals: one is missing or too many", s.Epoch, n)}
	}
	if _, err := proof.ParseSealKey(s.Key); err != nil {
		return &badPlace{where: "seal/key", detail: err.Error()}
	}
	last := id.chainStart()
	if s.Epoch > 0 {
		last = sha256.Sum256(texts[s.Epoch-1])
	}
	if s.Last != hex.EncodeToString(last[:]) { // the newest seal is in no other's text yet
		return &badPlace{where: "seal/" + dayName(s.Day-1), detail: "it is not the seal that was written"}
	}
	if newest > s.Day {
		return &badPlace{where: "seal", detail: fmt.Sprintf("there are rows of %s, and %s is not sealed", dayName(newest), dayName(s.Day))}
	}
	return nil
}

// Files of the key pair of the seals.
func sealSignerPath(dir string) string { return filepath.Join(dir, "keys", "seal") }
func sealVkeyPath(dir string) string   { return filepath.Join(dir, "keys", "seal.pub") }
