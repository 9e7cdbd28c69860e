package ledger

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"time"

	"github.com/dgraph-io/badger/v4"
)

// probeVariable tells a child process which directory to verify.
const probeVariable = "NETAUDIT_LEDGER_PROBE"

// sinceMark stands before the directory when only what came since the earlier verification is to be verified.
const sinceMark = "since-last:"

// probing says that this program answers to probeVariable.
var probing atomic.Bool

// MaybeProbe must be the first call of every program that opens ledgers for writing or verifies directories. In a child process of VerifyDir it verifies and never
// returns; otherwise it does nothing. A damaged store can make Badger crash in goroutines of its own: in a child, a crash is an answer.
func MaybeProbe() {
	probing.Store(true)
	if dir := os.Getenv(openProbeVariable); dir != "" {
		probeOpen(dir)
	}
	dir := os.Getenv(probeVariable)
	if dir == "" {
		return
	}
	out := json.NewEncoder(os.Stdout)
	dir, since := strings.CutPrefix(dir, sinceMark)
	v, err := verifyHere(context.Background(), dir, since, func(done, total uint64) {
		_ = out.Encode(probeMessage{Done: done, Total: total}) // a parent that went away needs no progress
	})
	m := probeMessage{Result: &v}
	if err != nil {
		m.Error = err.Error()
	}
	if out.Encode(m) != nil {
		os.Exit(1)
	}
	os.Exit(0)
}

// probeMessage is one line from the child.
type probeMessage struct {
	Done, Total uint64        `json:",omitempty"`
	Result      *Verification `json:",omitempty"`
	Error       string        `json:",omitempty"`
}

// VerifyDir verifies the ledger in a state directory without changing anything. A ledger that is in use, cannot be read, or is none gives
// CannotTell with the reason; one whose store cannot be opened although its anchor speaks of rows is Tampered.
func VerifyDir(ctx context.Context, dir string, progress Progress) (Verification, error) {
	return verifyDir(ctx, dir, false, progress)
}

// VerifyDirSince is VerifyDir for the rows that came since the newest verification that is recorded in the directory; for all when there is none. Where the log's secret key can be read, it records its own result.
func VerifyDirSince(ctx context.Context, dir string, progress Progress) (Verification, error) {
	return verifyDir(ctx, dir, true, progress)
}

func verifyDir(ctx context.Context, dir string, since bool, progress Progress) (Verification, error) {
	begin := time.Now()
	if progress == nil {
		progress = func(uint64, uint64) {}
	}
	verify := verifyHere
	if probing.Load() && os.Getenv(probeVariable) == "" {
		verify = verifyInChild
	}
	v, err := verify(ctx, dir, since, progress)
	v.Elapsed = time.Since(begin)
	return v, err
}

// verifyInChild runs this program again with probeVariable set.
func verifyInChild(ctx context.Context, dir string, since bool, progress Progress) (Verification, error) {
	if since {
		dir = sinceMark + dir
	}
	self, err := os.Executable()
	if err != nil {
		return Verification{}, fmt.Errorf("find this program: %w", err)
	}
	cmd := exec.CommandContext(ctx, self)
	cmd.Env = append(os.Environ(), probeVariable+"="+dir)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return Verification{}, err
	}
	if err := cmd.Start(); err != nil {
		return Verification{}, fmt.Errorf("start the verification: %w", err)
	}
	result, readErr := readProbe(out, progress)
	waitErr := cmd.Wait()
	if ctx.Err() != nil {
		return Verification{}, ctx.Err()
	}
	if result != nil {
		if result.Error != "" {
			return *result.Result, errors.New(result.Error)
		}
		return *result.Result, nil
	}
	first, _, _ := strings.Cut(strings.TrimSpace(stderr.String()), "\n")
	return Verification{Status: Tampered, NotChecked: notChecked, Damage: &Damage{
		Where: "badger", Detail: fmt.Sprintf("the store is unreadable: reading it ended with %v (%s)", errors.Join(waitErr, readErr), first),
	}}, nil
}

func readProbe(out io.Reader, progress Progress) (*probeMessage, error) {
	in := bufio.NewScanner(out)
	in.Buffer(nil, 1<<20)
	for in.Scan() {
		var m probeMessage
		if err := json.Unmarshal(in.Bytes(), &m); err != nil {
			continue // something else wrote to standard output
		}
		if m.Result != nil {
			return &m, nil
		}
		progress(m.Done, m.Total)
	}
	return nil, in.Err()
}

// verifyHere verifies in this process.
func verifyHere(ctx context.Context, dir string, since bool, progress Progress) (Verification, error) {
	info, err := os.Stat(dir)
	if errors.Is(err, os.ErrNotExist) {
		return cannotTell("", "there is no "+dir+": name the state directory of a ledger, by default /var/lib/netaudit"), nil
	}
	if err != nil {
		return cannotTell("", err.Error()), nil
	}
	if !info.IsDir() {
		return cannotTell("", dir+" is no directory: name the state directory of a ledger; netaudit-verify checks bundles"), nil
	}
	if _, err := os.Stat(genesisPath(dir)); errors.Is(err, os.ErrNotExist) {
		if orphan := refuseOrphan(dir); orphan != nil {
			return damagedVerification(orphan), nil
		}
		return cannotTell(dir, "there is no ledger in this directory"), nil
	}
	id, err := loadIdentity(dir, false)
	if err != nil {
		return damagedVerification(err), nil
	}
	anchor, err := readAnchor(dir, id)
	if err != nil {
		return damagedVerification(err), nil
	}
	quiet := slog.New(slog.DiscardHandler)
	_, err = checkTables(dir, badgerPath(dir), true)
	var db *store
	if err == nil || inUse(badgerPath(dir), true) {
		db, err = openStore(dir, true, quiet)
	}
	if err != nil {
		v := damagedVerification(err)
		v.Origin, v.Size, v.Root = id.origin, anchor.Size, anchor.Root
		return v, nil
	}
	var from start
	if since {
		if from, err = remembered(dir, id); err != nil {
			from = start{} // everything
		}
	}
	v := verifyOpened(ctx, dir, db.DB, id, anchor, from, progress)
	if err := db.Close(); err != nil {
		return v, fmt.Errorf("close the store: %w", err)
	}
	if since && v.Status == Intact {
		v.rememberHere(dir, id)
	}
	return v, ctx.Err()
}

// rememberHere records a verification from outside the appliance, as far as rights allow.
func (v *Verification) rememberHere(dir string, id *identity) {
	var err error
	if id.signer, err = loadSigner(dir, "keys/checkpoint", id.verifier); err == nil {
		err = remember(dir, id, v)
	}
	if err != nil {
		v.Checked = append(v.Checked, fmt.Sprintf("This verification could not be recorded (%v): the next one begins where this one did.", err))
	}
}

// verifyOpened also compares the store's own checkpoint with the anchor.
func verifyOpened(ctx context.Context, dir string, db *badger.DB, id *identity, anchor Checkpoint, from start, progress Progress) Verification {
	l := &Ledger{dir: dir, id: id, options: Options{ReadOnly: true, Clock: time.Now}}
	var ahead uint64
	var newest uint32
	headErr := db.View(func(txn *badger.Txn) error {
		head, days, err := l.readHead(txn)
		if err != nil {
			return err
		}
		if len(days) > 0 {
			newest = days[len(days)-1].day
		}
		if head.Size == anchor.Size && head.Root != anchor.Root {
			return l.damaged("anchor/checkpoint", "anchor and store are of the same size and have different roots")
		}
		if head.Size > anchor.Size {
			ahead = head.Size - anchor.Size
		}
		return nil
	})
	seals, sealsErr := checkSeals(dir, id, newest)
	var v Verification
	err := db.View(func(txn *badger.Txn) error {
		v = newVerifier(id, anchor, from, progress).run(ctx, txn, seals, sealsErr)
		return nil
	})
	if err != nil {
		return damagedVerification(err)
	}
	if v.Status == Intact && headErr != nil {
		bad := damagedVerification(headErr)
		bad.Origin, bad.Size, bad.Root = v.Origin, v.Size, v.Root
		return bad
	}
	if v.Status == Intact { // verifyHere read them all
		v.Checked = append(v.Checked, "Every block of the store's tables has its checksum, also where indexes and old versions lie.")
	}
	if ahead > 0 {
		v.NotChecked = append([]string{fmt.Sprintf("%d rows that were stored and not anchored before a crash: the next start anchors them.", ahead)}, v.NotChecked...)
	}
	return v
}

// damagedVerification turns an error of opening into a result.
func damagedVerification(err error) Verification {
	var damaged *DamagedError
	var locked *LockedError
	var version *VersionError
	switch {
	case errors.As(err, &damaged):
		return Verification{Status: Tampered, NotChecked: notChecked, Damage: &Damage{Where: damaged.Where, Detail: damaged.Detail}}
	case errors.As(err, &locked), errors.As(err, &version), errors.Is(err, os.ErrPermission):
		return cannotTell("", err.Error())
	case errors.Is(err, os.ErrNotExist):
		return Verification{Status: Tampered, NotChecked: notChecked, Damage: &Damage{Where: "state directory", Detail: err.Error()}}
	default:
		return Verification{Status: Tampered, NotChecked: notChecked, Damage: &Damage{Where: "badger", Detail: err.Error()}}
	}
}

func cannotTell(where, detail string) Verification {
	return Verification{Status: CannotTell, NotChecked: notChecked, Damage: &Damage{Where: where, Detail: detail}}
}
