package ledger

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/dgraph-io/badger/v4"
	"github.com/gowebpki/jcs"
	fmtlog "github.com/transparency-dev/formats/log"
	fmtproof "github.com/transparency-dev/formats/proof"
	mproof "github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
	"go.uber.org/goleak"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/sys/unix"
	"pgregory.net/rapid"

	"netaudit/ledger/proof"
)

func TestMain(m *testing.M) {
	MaybeProbe()
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("github.com/golang/glog.(*fileSink).flushDaemon"))
}

func sample(i int) Event {
	return Event{
		Kind: "flow", State: "closed", Channel: "https", Start: int64(i+1) * 1e9, End: int64(i+2) * 1e9, HasCounts: true, SrcBytes: int64(i),
		Src: &Endpoint{IP: "10.0.0.1", Port: 40000, HasPort: true}, Dst: &Endpoint{IP: "203.0.113.1", Port: 443, HasPort: true, Host: "a.example", HostSource: "sni"},
		Party: &Party{Class: "third_party", Name: "a.example", Rule: "default/domain"}, Addon: &Addon{Name: fmt.Sprintf("addon_%d", i%7)},
		Process: &Process{PID: 7, Exe: "/usr/bin/python3"},
	}
}

// newLedger makes a ledger with n rows and closes it.
func newLedger(t *testing.T, n int) (dir string) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "state")
	appendRows(t, dir, n)
	return dir
}

func appendRows(t *testing.T, dir string, n int) {
	t.Helper()
	l, err := Open(dir, Options{Create: true})
	if err != nil {
		t.Fatal(err)
	}
	for i := range n {
		if err := l.Append(t.Context(), sample(i)); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

func verify(t *testing.T, dir string) Verification {
	t.Helper()
	v, err := VerifyDir(t.Context(), dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestRowsSurviveReopeningAndVerify(t *testing.T) {
	dir := newLedger(t, 700)
	appendRows(t, dir, 3)
	l, err := Open(dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if l.Size() != 703 || l.Recovery().Status != "clean" {
		t.Errorf("size %d, recovery %+v; want 703 rows, clean", l.Size(), l.Recovery())
	}
	var seqs []uint64
	if err := l.Rows(t.Context(), 699, func(r Row) bool { seqs = append(seqs, r.Seq); return true }); err != nil || len(seqs) != 4 {
		t.Errorf("rows from 699: %v, error %v", seqs, err)
	}
	seqs = nil
	if err := l.RowsBackward(t.Context(), 703, func(r Row) bool { seqs = append(seqs, r.Seq); return len(seqs) < 3 }); err != nil || fmt.Sprint(seqs) != "[702 701 700]" {
		t.Errorf("newest rows: %v, error %v", seqs, err)
	}
	if v, err := l.Verify(t.Context(), nil); err != nil || v.Status != Intact {
		t.Errorf("verification while open: %+v, error %v", v, err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if v := verify(t, dir); v.Status != Intact || v.Size != 703 {
		t.Errorf("verification: %+v (damage %+v)", v, v.Damage)
	}
}

func TestEveryFieldOfARowIsCanonicalAndReadsBack(t *testing.T) {
	var e Event
	fill(reflect.ValueOf(&e).Elem(), new(int64))
	e.Evidence.Stack[0].File, e.Evidence.Stack[0].Function = "a\u2028\"\\\x01.py", "ф"
	text := e.AppendJSON(nil)
	canonical, err := jcs.Transform(text)
	if err != nil || !bytes.Equal(canonical, text) {
		t.Fatalf("not canonical (%v):\n%s\nwant\n%s", err, text, canonical)
	}
	back, err := ParseEvent(text)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(back, e) {
		t.Errorf("read back:\n%+v\nwant\n%+v", back, e)
	}
	if again := back.AppendJSON(nil); !bytes.Equal(again, text) {
		t.Errorf("written again:\n%s\nwant\n%s", again, text)
	}
}

// fill gives every field below v another value.
func fill(v reflect.Value, n *int64) {
	*n++
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem(), n)
	case reflect.Struct:
		for i := range v.NumField() {
			fill(v.Field(i), n)
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		fill(v.Index(0), n)
		fill(v.Index(1), n)
	case reflect.String:
		v.SetString(fmt.Sprintf("text%d", *n))
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Uint64:
		v.SetUint(uint64(*n))
	default:
		v.SetInt(*n)
	}
}

// TestTimesAreAsFormatWritesThem compares times in rows with those of package time: random ones, and the first and last that 64 bits of nanoseconds can say.
func TestTimesAreAsFormatWritesThem(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		nanos := rapid.Int64().Draw(t, "nanos")
		if got, want := string(appendTime(nil, nanos)), time.Unix(0, nanos).UTC().Format("2006-01-02T15:04:05.000000000Z07:00"); got != want {
			t.Fatalf("%d: %s, want %s", nanos, got, want)
		}
	})
}

// TestStringsAreScannedEightBytesAtATime puts each byte at each place of a string of plain text, and compares with what looking at one byte after the other finds.
func TestStringsAreScannedEightBytesAtATime(t *testing.T) {
	const plain = "abcdefghijklmnopq~\x7f rst"
	for at := range plain {
		for c := range 256 {
			s := plain[:at] + string([]byte{byte(c)}) + plain[at:]
			want := len(s)
			if c < ' ' || c > 0x7f || c == '"' || c == '\\' {
				want = at
			}
			if got := plainLength(s); got != want {
				t.Fatalf("%q: %d, want %d", s, got, want)
			}
		}
	}
}

func FuzzEncoderIsCanonical(f *testing.F) {
	f.Add("a.example", "\xff\x00\u2028<&>", int64(1<<53+1))
	f.Add("", "\\\"\x7f\ud7ff", int64(-1))
	f.Fuzz(func(t *testing.T, host, path string, n int64) {
		e := Event{V: 1, Kind: "http", HTTP: &HTTP{Host: host, Path: path, Headers: []string{host, path}}, HasCounts: true, SrcBytes: n, Start: n}
		text := e.AppendJSON(nil)
		canonical, err := jcs.Transform(text)
		if err != nil || !bytes.Equal(canonical, text) {
			t.Errorf("%q is not canonical: %v, want %q", text, err, canonical)
		}
	})
}

// TestProofIsAcceptedByOtherPeoplesLibraries uses x/mod, transparency-dev/formats and transparency-dev/merkle unmodified, and none of our code.
func TestProofIsAcceptedByOtherPeoplesLibraries(t *testing.T) {
	dir := newLedger(t, 600)
	l, err := Open(dir, Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for _, seq := range []uint64{0, 255, 256, 511, 599} {
		row, err := l.Row(seq)
		if err != nil {
			t.Fatal(err)
		}
		text, err := l.Proof(seq)
		if err != nil {
			t.Fatal(err)
		}
		if err := thirdPartyCheck(row.JSON, text, l.VerifierKey(), l.Origin()); err != nil {
			t.Errorf("row %d: %v", seq, err)
		}
		if _, err := proof.Verify(row.JSON, text, l.VerifierKey()); err != nil {
			t.Errorf("row %d, our own check: %v", seq, err)
		}
		forged := bytes.Replace(row.JSON, []byte("a.example"), []byte("b.example"), 1)
		if thirdPartyCheck(forged, text, l.VerifierKey(), l.Origin()) == nil {
			t.Errorf("row %d: a forged row was accepted", seq)
		}
		if _, err := proof.Verify(forged, text, l.VerifierKey()); err == nil {
			t.Errorf("row %d: our own check accepted a forged row", seq)
		}
	}
}

func thirdPartyCheck(row, text []byte, vkey, origin string) error {
	verifier, err := note.NewVerifier(vkey)
	if err != nil {
		return err
	}
	var p fmtproof.TLogProof
	if err := p.Unmarshal(text); err != nil {
		return err
	}
	c, _, _, err := fmtlog.ParseCheckpoint(p.Checkpoint, origin, verifier)
	if err != nil {
		return err
	}
	hashes := make([][]byte, len(p.Hashes))
	for i := range p.Hashes {
		hashes[i] = p.Hashes[i][:]
	}
	return mproof.VerifyInclusion(rfc6962.DefaultHasher, p.Index, c.Size, rfc6962.DefaultHasher.HashLeaf(row), hashes, c.Hash)
}

// edit changes a stored value through Badger itself: what somebody with the right tools would do.
// edit changes what is stored under a key, behind the ledger's back. Rows have keys of their own then.
func edit(t *testing.T, dir string, key []byte, change func([]byte) []byte) {
	t.Helper()
	db, err := openStore(dir, false, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ungroup(t, db.DB)
	err = db.Update(func(txn *badger.Txn) error {
		value, err := valueOf(txn, key)
		if err != nil {
			return err
		}
		return txn.Set(key, change(value))
	})
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
}

func rowKeyOf(t *testing.T, dir string, seq uint64) []byte {
	t.Helper()
	l, err := Open(dir, Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	day, _ := dayOf(l.state.Load().days, seq)
	return newest.row(day, seq)
}

func TestOneByteInAStoredRowIsFoundAndNamed(t *testing.T) {
	for _, seq := range []uint64{0, 300, 699} {
		dir := newLedger(t, 700)
		edit(t, dir, rowKeyOf(t, dir, seq), func(v []byte) []byte {
			v[len(v)-3] ^= 1
			return v
		})
		v := verify(t, dir)
		if v.Status != Tampered || v.Damage == nil || !v.Damage.HasSeq || v.Damage.Seq != seq {
			t.Errorf("byte flipped in row %d: %+v, damage %+v", seq, v.Status, v.Damage)
		}
	}
}

func TestOneByteInTheAnchorIsFoundAndNamed(t *testing.T) {
	dir := newLedger(t, 20)
	text, err := os.ReadFile(anchorPath(dir))
	if err != nil {
		t.Fatal(err)
	}
	for at := range text {
		bad := bytes.Clone(text)
		bad[at] ^= 1
		if err := os.WriteFile(anchorPath(dir), bad, 0o644); err != nil {
			t.Fatal(err)
		}
		v, err := verifyHere(t.Context(), dir, false, func(uint64, uint64) {})
		if err != nil || v.Status != Tampered || !strings.Contains(v.Damage.Where, "anchor") {
			t.Errorf("byte %d of the anchor: %v %+v %v", at, v.Status, v.Damage, err)
		}
		if _, err := Open(dir, Options{}); err == nil {
			t.Errorf("byte %d of the anchor: the ledger opened as if nothing were wrong", at)
		}
	}
}

func TestFlippedBytesInTheStoresFilesNeverVerifyUnlessTheyAreIrrelevant(t *testing.T) {
	dir := newLedger(t, 600)
	files, err := filepath.Glob(filepath.Join(badgerPath(dir), "*.sst"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no table files: %v", err)
	}
	text, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	rows := storedRows(t, dir)
	for step := range 24 {
		at := step * len(text) / 24
		bad := bytes.Clone(text)
		bad[at] ^= 0x10
		if err := os.WriteFile(files[0], bad, 0o600); err != nil {
			t.Fatal(err)
		}
		v := verify(t, dir)
		switch {
		case v.Status == Tampered:
		case v.Status == Intact && slices.Equal(storedRows(t, dir), rows): // a bit of the compression's frame that decompresses to the same
		default:
			t.Errorf("byte %d of %s: %v %+v", at, filepath.Base(files[0]), v.Status, v.Damage)
		}
	}
}

// storedRows reads what a reader of the ledger would get, out of a copy.
func storedRows(t *testing.T, dir string) (rows []string) {
	t.Helper()
	other := filepath.Join(t.TempDir(), "copy")
	if err := os.CopyFS(other, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	l, err := Open(other, Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	err = l.Rows(t.Context(), 0, func(r Row) bool {
		rows = append(rows, string(r.JSON)+string(r.Leaf[:])+string(r.Chain[:]))
		return true
	})
	if err != nil {
		t.Fatal(err)
	}
	return rows
}

func TestLedgerInUseIsNamedAndNotTouched(t *testing.T) {
	dir := newLedger(t, 3)
	l, err := Open(dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	var locked *LockedError
	if _, err := Open(dir, Options{Continue: true}); !errors.As(err, &locked) || locked.PID != os.Getpid() {
		t.Errorf("second Open: %v, want a *LockedError that names this process", err)
	}
	if _, err := os.Stat(filepath.Join(dir, walAsFound)); err == nil {
		t.Error("somebody else's write-ahead logs were copied")
	}
	if v := verify(t, dir); v.Status != CannotTell {
		t.Errorf("verifying a ledger in use: %v %+v, want cannot tell", v.Status, v.Damage)
	}
}

// TestLockThatOutlivesItsLedgerIsWaitedFor holds the lock of a closed ledger as a child process does that was forked just then.
func TestLockThatOutlivesItsLedgerIsWaitedFor(t *testing.T) {
	for _, readOnly := range []bool{false, true} {
		dir := newLedger(t, 3)
		d, err := os.Open(badgerPath(dir))
		if err != nil {
			t.Fatal(err)
		}
		if err := unix.Flock(int(d.Fd()), unix.LOCK_EX); err != nil {
			t.Fatal(err)
		}
		ended := time.AfterFunc(100*time.Millisecond, func() { d.Close() })
		l, err := Open(dir, Options{ReadOnly: readOnly})
		if ended.Stop() || err != nil {
			t.Fatalf("read-only %t: %v", readOnly, err)
		}
		closeLedger(t, l)
	}
}

func TestNoLedgerAndForeignVersionSaySo(t *testing.T) {
	empty := t.TempDir()
	if _, err := Open(empty, Options{}); !errors.Is(err, ErrNoLedger) {
		t.Errorf("Open of an empty directory: %v", err)
	}
	if v := verify(t, empty); v.Status != CannotTell {
		t.Errorf("verifying an empty directory: %v", v.Status)
	}
	if err := filepath.WalkDir(empty, func(p string, _ fs.DirEntry, err error) error {
		if p != empty {
			t.Errorf("%s was made", p)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	dir := newLedger(t, 1)
	if v := verify(t, anchorPath(dir)); v.Status != CannotTell || !strings.Contains(v.Damage.Detail, "is no directory") {
		t.Errorf("verifying a file: %v, %+v", v.Status, v.Damage)
	}
	text, err := os.ReadFile(genesisPath(dir))
	if err != nil {
		t.Fatal(err)
	}
	text = bytes.Replace(text, fmt.Appendf(nil, `"format":%d`, formatVersion), []byte(`"format":9`), 1)
	if err := os.WriteFile(genesisPath(dir), text, 0o644); err != nil {
		t.Fatal(err)
	}
	var version *VersionError
	if _, err := Open(dir, Options{Continue: true}); !errors.As(err, &version) {
		t.Errorf("foreign version: %v", err)
	}
	if v := verify(t, dir); v.Status != CannotTell {
		t.Errorf("verifying a foreign version: %v", v.Status)
	}
}

func TestSinceFindsTheFirstRowOfATime(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	now := time.Date(2026, 3, 1, 23, 59, 0, 0, time.UTC)
	l, err := Open(dir, Options{Create: true, Clock: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	begin := now
	for i := range 10 { // one row every 20 seconds, across midnight
		if err := errors.Join(l.Append(t.Context(), sample(i)), l.Flush(t.Context())); err != nil {
			t.Fatal(err)
		}
		now = now.Add(20 * time.Second)
	}
	for i := range 10 {
		at := begin.Add(time.Duration(i) * 20 * time.Second)
		if got := l.Since(at); got != uint64(i) {
			t.Errorf("Since(%s) = %d, want %d", at.Format(time.TimeOnly), got, i)
		}
		if got := l.Since(at.Add(time.Second)); got != uint64(i+1) {
			t.Errorf("Since(%s + 1 s) = %d, want %d", at.Format(time.TimeOnly), got, i+1)
		}
	}
}

func TestAppendAfterCloseIsRefused(t *testing.T) {
	l, err := Open(filepath.Join(t.TempDir(), "state"), Options{Create: true})
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if err := l.Append(context.Background(), sample(1)); !errors.Is(err, ErrClosed) {
		t.Errorf("Append after Close: %v", err)
	}
	if l.TryAppend(sample(1)) {
		t.Error("TryAppend after Close took a row")
	}
}
