package ledger

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"filippo.io/torchwood"
	"github.com/dgraph-io/badger/v4"
	fmtproof "github.com/transparency-dev/formats/proof"
	"github.com/transparency-dev/merkle/compact"
	mproof "github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
	"golang.org/x/mod/sumdb/tlog"
	"pgregory.net/rapid"

	"netaudit/ledger/proof"
)

// machine is a ledger and a model of it: a slice of rows.
type machine struct {
	t     *testing.T
	dir   string
	key   proof.SealKey
	clock *clock
	today time.Time // no earlier than any time the clock ever had
	l     *Ledger

	rows    []Row // the model
	dropped map[uint64]bool
	flows   int // appended
	hold    []Span
	history history
	sealed  [][]byte
}

// TestLedgerAgainstASliceOfRows does random things to a ledger and compares it with a slice, and its proofs with three libraries of others, after each of them.
func TestLedgerAgainstASliceOfRows(t *testing.T) {
	checks := os.Getenv("NETAUDIT_MACHINES")
	if checks == "" {
		checks = "2"
	}
	for name, value := range map[string]string{"rapid.checks": checks, "rapid.steps": "20"} {
		before := flag.Lookup(name).Value.String()
		if err := flag.Set(name, value); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := flag.Set(name, before); err != nil {
				t.Error(err)
			}
		})
	}
	rapid.Check(t, func(r *rapid.T) {
		m := &machine{t: t, dir: filepath.Join(t.TempDir(), "state"), clock: &clock{day0}, today: day0, dropped: map[uint64]bool{}}
		m.open(r)
		m.key = m.l.Recovery().SealKey
		defer func() {
			if err := m.l.Close(); err != nil {
				t.Error(err)
			}
		}()
		r.Repeat(map[string]func(*rapid.T){
			"append":  m.append,
			"clock":   m.turnClock,
			"crash":   m.crash,
			"reopen":  m.reopen,
			"prune":   m.prune,
			"hold":    m.setHold,
			"bundle":  m.bundle,
			"rebuild": m.rebuild,
			"":        m.check,
		})
	})
}

func (m *machine) open(r *rapid.T) {
	l, err := Open(m.dir, Options{Create: true, Clock: m.clock.read, MaxBatch: 16})
	if err != nil {
		r.Fatal(err)
	}
	m.l = l
}

func (m *machine) close(r *rapid.T) {
	if err := m.l.Close(); err != nil {
		r.Fatal(err)
	}
}

// append lets several producers append at once.
func (m *machine) append(r *rapid.T) {
	producers, each := rapid.IntRange(1, 4).Draw(r, "producers"), rapid.IntRange(1, 40).Draw(r, "rows")
	var group sync.WaitGroup
	for range producers {
		group.Go(func() {
			for i := range each {
				if err := m.l.Append(m.t.Context(), sample(i)); err != nil {
					m.t.Error(err)
				}
			}
		})
	}
	group.Wait()
	if err := m.l.Flush(m.t.Context()); err != nil {
		r.Fatal(err)
	}
	m.flows += producers * each
}

// turnClock sets the clock forward or back; days that end are sealed with the next row or start.
func (m *machine) turnClock(r *rapid.T) {
	m.clock.now = m.clock.now.Add(time.Duration(rapid.IntRange(-30, 60).Draw(r, "hours")) * time.Hour)
	if m.clock.now.Before(day0) {
		m.clock.now = day0
	}
	if m.clock.now.After(m.today) {
		m.today = m.clock.now
	}
}

// crash takes the files as they are at a moment: what a start after a power cut finds when every write reached the disk.
func (m *machine) crash(r *rapid.T) {
	image := filepath.Join(m.t.TempDir(), "image")
	copyTo(m.t, m.dir, image)
	m.close(r)
	m.dir = image
	m.open(r)
}

func (m *machine) reopen(r *rapid.T) {
	m.close(r)
	m.open(r)
	if s := m.l.Recovery().Status; s != "clean" {
		r.Fatalf("a log that was closed is %s", s)
	}
}

func (m *machine) setHold(r *rapid.T) {
	day := day0.AddDate(0, 0, rapid.IntRange(0, 6).Draw(r, "day"))
	m.hold = []Span{{day, day.AddDate(0, 0, rapid.IntRange(0, 2).Draw(r, "days"))}}
}

func (m *machine) prune(r *rapid.T) {
	before := m.l.state.Load().dropped
	age := time.Duration(rapid.IntRange(1, 72).Draw(r, "hours")) * time.Hour
	if _, err := m.l.Retain(m.t.Context(), Policy{MaxAge: age, Hold: m.hold}); err != nil {
		r.Fatal(err)
	}
	for _, d := range m.l.state.Load().dropped {
		if slices.Contains(before, d) {
			continue
		}
		if slices.ContainsFunc(m.hold, func(s Span) bool { return s.contains(d.day) }) {
			r.Fatalf("rows of %s were taken away, which is under legal hold", dayName(d.day))
		}
		for seq := d.first; seq <= d.last; seq++ {
			m.dropped[seq] = true
		}
	}
}

// bundle exports a run of rows and checks it without the log. Rows that were withheld after the newest seal cannot be told from missing ones yet.
func (m *machine) bundle(r *rapid.T) {
	size := m.l.Size()
	if size == 0 {
		return
	}
	first := rapid.Uint64Range(0, size-1).Draw(r, "first")
	count := rapid.Uint64Range(1, size-first).Draw(r, "count")
	var b bytes.Buffer
	if err := m.l.WriteBundle(m.t.Context(), &b, first, count); err != nil {
		r.Fatal(err)
	}
	withheld := uint64(0)
	for seq := first; seq < first+count; seq++ {
		if m.dropped[seq] {
			withheld++
		}
	}
	got, err := proof.CheckBundle(bytes.NewReader(b.Bytes()), int64(b.Len()), []string{m.l.VerifierKey(), m.l.SealVerifierKey()}, &m.key)
	sealed := m.l.LastSeal() != nil && m.l.LastSeal().Minimum == m.l.minimum()
	if err == nil && (got.Index != first || got.Count != count || uint64(got.Withheld) != withheld || got.Size != size) || err != nil && (withheld == 0 || sealed) {
		r.Fatalf("bundle of rows %d to %d: %+v, %v; %d are withheld", first, first+count-1, got, err, withheld)
	}
}

// rebuild forgets index and sums; the next start makes them anew.
func (m *machine) rebuild(r *rapid.T) {
	m.close(r)
	db, err := badger.Open(badger.DefaultOptions(badgerPath(m.dir)).WithLogger(nil))
	if err != nil {
		r.Fatal(err)
	}
	err = db.Update(func(txn *badger.Txn) error {
		if err := txn.Delete(metaKey(indexMark)); err != nil {
			return err
		}
		return txn.Delete(metaKey("rollups"))
	})
	if err != nil || db.Close() != nil {
		r.Fatal(err)
	}
	m.open(r)
}

// check compares everything with the model.
func (m *machine) check(r *rapid.T) {
	size := m.l.Size()
	flows := 0
	for seq := range size {
		row, err := m.l.Row(seq)
		if m.dropped[seq] != (err != nil) {
			r.Fatalf("row %d: dropped %v, %v", seq, m.dropped[seq], err)
		}
		if seq >= uint64(len(m.rows)) {
			m.rows = append(m.rows, row)
		}
		known := m.rows[seq]
		if err == nil && (!bytes.Equal(row.JSON, known.JSON) || row.Chain != known.Chain) {
			r.Fatalf("row %d was\n%s\nand is\n%s", seq, known.JSON, row.JSON)
		}
		if e, err := ParseEvent(known.JSON); err == nil && e.Kind == "flow" {
			flows++
		}
	}
	if uint64(len(m.rows)) != size || flows != m.flows {
		r.Fatalf("%d rows with %d flows, the model has %d with %d", size, flows, len(m.rows), m.flows)
	}
	c := m.l.Checkpoint()
	m.checkRoot(r, c)
	if size > 0 {
		for range 3 {
			m.checkProof(r, c, rapid.Uint64Range(0, size-1).Draw(r, "seq"))
		}
		m.checkConsistency(r, c)
	}
	m.checkSeals(r)
	if v, err := m.l.Verify(m.t.Context(), nil); err != nil || v.Status != Intact {
		r.Fatalf("%v: %+v, %v", v.Status, v.Damage, err)
	}
	m.history.note(size, c.Root)
}

func (m *machine) checkRoot(r *rapid.T, c Checkpoint) {
	tree := (&compact.RangeFactory{Hash: rfc6962.DefaultHasher.HashChildren}).NewEmptyRange(0)
	for _, row := range m.rows {
		if err := tree.Append(rfc6962.DefaultHasher.HashLeaf(row.JSON), nil); err != nil {
			r.Fatal(err)
		}
	}
	root := rfc6962.DefaultHasher.EmptyRoot()
	if len(m.rows) > 0 {
		var err error
		if root, err = tree.GetRootHash(nil); err != nil {
			r.Fatal(err)
		}
	}
	if !bytes.Equal(root, c.Root[:]) {
		r.Fatalf("the checkpoint of %d rows has another root than the model", c.Size)
	}
}

func (m *machine) checkProof(r *rapid.T, c Checkpoint, seq uint64) {
	text, err := m.l.Proof(seq)
	if err != nil {
		r.Fatal(err)
	}
	row := m.rows[seq].JSON
	var p fmtproof.TLogProof
	if err := p.Unmarshal(text); err != nil {
		r.Fatal(err)
	}
	var path tlog.RecordProof
	for _, h := range p.Hashes {
		path = append(path, tlog.Hash(h))
	}
	policy, err := torchwood.ParsePolicy([]byte(proof.Policy(m.l.VerifierKey())))
	if err != nil {
		r.Fatal(err)
	}
	for library, err := range map[string]error{
		"x/mod tlog":   tlog.CheckRecord(path, int64(c.Size), tlog.Hash(c.Root), int64(seq), tlog.RecordHash(row)),
		"merkle/proof": thirdPartyCheck(row, text, m.l.VerifierKey(), m.l.Origin()),
		"torchwood":    torchwood.VerifyProof(policy, tlog.RecordHash(row), text),
	} {
		if err != nil {
			r.Fatalf("row %d of %d, %s: %v", seq, c.Size, library, err)
		}
	}
}

func (m *machine) checkConsistency(r *rapid.T, c Checkpoint) {
	if len(m.history.sizes) == 0 {
		return
	}
	i := rapid.IntRange(0, len(m.history.sizes)-1).Draw(r, "earlier")
	size, root := m.history.sizes[i], m.history.roots[i]
	if size == 0 {
		return
	}
	hashes, err := m.l.Consistency(size, c.Size)
	if err != nil {
		r.Fatal(err)
	}
	var path tlog.TreeProof
	var bytesPath [][]byte
	for i := range hashes {
		path, bytesPath = append(path, hashes[i]), append(bytesPath, hashes[i][:])
	}
	if err := tlog.CheckTree(path, int64(c.Size), tlog.Hash(c.Root), int64(size), tlog.Hash(root)); err != nil {
		r.Fatalf("from %d to %d rows: %v", size, c.Size, err)
	}
	if err := mproof.VerifyConsistency(rfc6962.DefaultHasher, size, c.Size, bytesPath, root[:], c.Root[:]); err != nil {
		r.Fatalf("from %d to %d rows: %v", size, c.Size, err)
	}
}

// checkSeals says that the seals are unbroken, that none was made anew, and that none is missing.
func (m *machine) checkSeals(r *rapid.T) {
	texts, err := m.l.Seals()
	if err != nil {
		r.Fatal(err)
	}
	if len(texts) < len(m.sealed) || !slices.EqualFunc(texts[:len(m.sealed)], m.sealed, bytes.Equal) {
		r.Fatal("a seal was made anew")
	}
	m.sealed = texts
	list, err := proof.CheckSeals(texts, m.l.SealVerifierKey(), &m.key)
	if err != nil {
		r.Fatal(err)
	}
	if days := int(dayAt(m.today.UnixNano()) - dayAt(day0.UnixNano())); len(list) > days {
		r.Fatalf("%d seals for %d days", len(list), days)
	}
	if n := m.l.Size(); n > 0 && !m.dropped[n-1] {
		e, err := ParseEvent(m.rows[n-1].JSON)
		if err != nil {
			r.Fatal(err)
		}
		if want := int(dayAt(e.Logged) - dayAt(day0.UnixNano())); len(list) < want {
			r.Fatalf("%d seals, the newest row is of day %d", len(list), want)
		}
	}
}
