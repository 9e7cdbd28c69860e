package proof

import (
	"archive/zip"
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// Names of the files of a bundle: a zip file that proves a run of rows, and needs nothing else.
const (
	BundleRows       = "events.ndjson" // the rows as hashed, one a line; "withheld <leaf hash>" for one that retention has taken away
	BundleRange      = "range.txt"     // which rows, and the hashes that lead to the checkpoint
	BundleCheckpoint = "checkpoint"    // signed, of the whole log
	BundleGenesis    = "genesis.json"  // the log's birth certificate
	BundleKeys       = "keys.txt"      // its public keys, C2SP vkeys, one a line
	BundlePolicy     = "policy.txt"    // the same for C2SP tools (tlog-policy)
	BundleReadme     = "README.txt"
	BundleSeals      = "seals/" // every daily seal, by day
)

// Bounds of a bundle. Rows are read one at a time.
const (
	largestPart = 1 << 20   // bytes of a file that is no row
	longestRow  = 128 << 10 // bytes
	mostSeals   = mostEpochs
)

const (
	rangeHeader  = "netaudit/bundle/v1"
	withheldMark = "withheld "
)

// Range says which rows a bundle holds and how they lead to the checkpoint.
type Range struct {
	First, Count uint64
	Chain        [32]byte    // row hash of the row before the first; SHA-256 of the genesis record before row 0
	Left         []tlog.Hash // roots of the perfect subtrees that cover all rows before the first, the largest to the left first
	Right        []tlog.Hash // consistency proof from the tree that ends with the last row to the checkpoint's (RFC 6962 §2.1.2)
}

// Text is the form in the bundle.
func (r *Range) Text() []byte {
	b64 := base64.StdEncoding.EncodeToString
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s\nfirst %d\ncount %d\nchain %s\n", rangeHeader, r.First, r.Count, b64(r.Chain[:]))
	for _, list := range []struct {
		name   string
		hashes []tlog.Hash
	}{{"left", r.Left}, {"right", r.Right}} {
		fmt.Fprintf(&b, "%s %d\n", list.name, len(list.hashes))
		for _, h := range list.hashes {
			fmt.Fprintf(&b, "%s\n", b64(h[:]))
		}
	}
	return b.Bytes()
}

// parseRange undoes Text, and only what Text can write.
func parseRange(text []byte) (Range, error) {
	lines := strings.Split(string(text), "\n")
	at := 0
	next := func(name string) string {
		if at >= len(lines) {
			return ""
		}
		at++
		v, _ := strings.CutPrefix(lines[at-1], name)
		return v
	}
	var r Range
	var errs []error
	number := func(name string) uint64 {
		n, err := decimal(next(name))
		errs = append(errs, err)
		return n
	}
	hash := func(name string) (h tlog.Hash) {
		b, err := base64.StdEncoding.Strict().DecodeString(next(name))
		if err == nil && len(b) != len(h) {
			err = errors.New("a hash has 32 bytes")
		}
		if err != nil {
			errs = append(errs, err)
			return h
		}
		return tlog.Hash(b)
	}
	list := func(name string) (hashes []tlog.Hash) {
		for range min(number(name), mostHashes+1) {
			hashes = append(hashes, hash(""))
		}
		return hashes
	}
	next("")
	r.First, r.Count, r.Chain = number("first "), number("count "), hash("chain ")
	r.Left, r.Right = list("left "), list("right ")
	if err := errors.Join(errs...); err != nil {
		return r, fmt.Errorf("read %s: %w", BundleRange, err)
	}
	if !bytes.Equal(r.Text(), text) || r.Count == 0 || r.First+r.Count < r.First {
		return r, fmt.Errorf("%s is not in the form of %s", BundleRange, rangeHeader)
	}
	return r, nil
}

// Bundle is what a bundle shows.
type Bundle struct {
	Verified            // of the checkpoint; Index is the first row
	Count      uint64   // rows
	Withheld   uint64   // rows whose content retention has taken away: only their hashes are there
	Seals      int      // days
	Pinned     bool     // the keys are those that the caller brought; else those that lie in the bundle
	NotChecked []string // sentences
}

// CheckBundle checks a bundle. keys are C2SP vkeys that the caller trusts: the log's, and with its seals' also that; without any the bundle's own are used, which shows only that the bundle fits
// together. sealKey is the key of the log's first day, or nil. An error that wraps ErrUnproved says that something was changed.
func CheckBundle(file io.ReaderAt, size int64, keys []string, sealKey *SealKey) (Bundle, error) {
	z, err := zip.NewReader(file, size)
	if err != nil {
		return Bundle{}, fmt.Errorf("read the bundle: %w", err)
	}
	c := &bundleCheck{parts: map[string][]byte{}}
	if err := c.read(z); err != nil {
		return Bundle{}, err
	}
	if err := c.identify(keys); err != nil {
		return Bundle{}, err
	}
	if err := c.checkSeals(sealKey); err != nil {
		return Bundle{}, err
	}
	if err := c.walk(); err != nil {
		return Bundle{}, err
	}
	return c.out, c.conclude(sealKey != nil)
}

type bundleCheck struct {
	parts map[string][]byte // all files but the rows
	rows  *zip.File
	days  []string // names of the seals, in order

	sealVkey string
	sealTrue bool // the seals' key is one that the caller brought
	chain0   [32]byte
	seals    Seals
	run      Range
	out      Bundle

	lastWithheld uint64
}

// read takes every file into memory but the rows. A file that does not belong is refused, so that nobody takes it for proved.
func (c *bundleCheck) read(z *zip.Reader) error {
	known := []string{BundleRange, BundleCheckpoint, BundleGenesis, BundleKeys, BundlePolicy, BundleReadme}
	for _, f := range z.File {
		_, twice := c.parts[f.Name]
		switch {
		case f.Name == BundleRows && c.rows == nil:
			c.rows = f
			continue
		case twice || !slices.Contains(known, f.Name) && !strings.HasPrefix(f.Name, BundleSeals) || len(c.parts) > mostSeals:
			return fmt.Errorf("%w: the file %q does not belong into a bundle", ErrUnproved, f.Name)
		}
		in, err := f.Open()
		if err != nil {
			return fmt.Errorf("read %s: %w", f.Name, err)
		}
		text, err := io.ReadAll(io.LimitReader(in, largestPart+1))
		if err = errors.Join(err, in.Close()); err != nil {
			return damagedPart(f.Name, err)
		}
		if len(text) > largestPart {
			return fmt.Errorf("%s has more than %d bytes", f.Name, largestPart)
		}
		c.parts[f.Name] = text
		if strings.HasPrefix(f.Name, BundleSeals) {
			c.days = append(c.days, f.Name)
		}
	}
	for _, name := range known {
		if _, ok := c.parts[name]; !ok {
			return fmt.Errorf("the bundle has no %s", name)
		}
	}
	if c.rows == nil {
		return fmt.Errorf("the bundle has no %s", BundleRows)
	}
	slices.Sort(c.days)
	return nil
}

// damagedPart: a check sum that does not fit is a change; anything else may be a broken copy.
func damagedPart(name string, err error) error {
	if errors.Is(err, zip.ErrChecksum) {
		return fmt.Errorf("%w: %s was changed: %w", ErrUnproved, name, err)
	}
	return fmt.Errorf("read %s: %w", name, err)
}

// identify decides by which keys the bundle is checked, and opens the checkpoint.
func (c *bundleCheck) identify(keys []string) error {
	var g struct {
		Origin  string `json:"origin"`
		VKey    string `json:"vkey"`
		SealKey string `json:"seal_vkey"`
	}
	if err := json.Unmarshal(c.parts[BundleGenesis], &g); err != nil {
		return fmt.Errorf("read %s: %w", BundleGenesis, err)
	}
	if want := keysText(g.VKey, g.SealKey); string(c.parts[BundleKeys]) != want || string(c.parts[BundlePolicy]) != Policy(g.VKey) {
		return fmt.Errorf("%w: %s or %s has other keys than %s", ErrUnproved, BundleKeys, BundlePolicy, BundleGenesis)
	}
	vkey := g.VKey
	c.sealVkey, c.chain0 = g.SealKey, sha256.Sum256(c.parts[BundleGenesis])
	for _, k := range keys {
		v, err := note.NewVerifier(k)
		if err != nil {
			return fmt.Errorf("read the key %q: %w", k, err)
		}
		switch v.Name() {
		case SealName(g.Origin):
			c.sealVkey, c.sealTrue = k, true
		default: // a key of another log than the bundle says must fail, not be passed over
			vkey, c.out.Pinned = k, true
		}
	}
	verified, err := openCheckpoint(c.parts[BundleCheckpoint], vkey)
	if err != nil {
		return err
	}
	if verified.Origin != g.Origin || vkey != g.VKey || c.sealVkey != g.SealKey {
		return fmt.Errorf("%w: %s is of another log", ErrUnproved, BundleGenesis)
	}
	c.out.Verified = verified
	return nil
}

// keysText is the file that names the log's keys.
func keysText(vkey, sealVkey string) string {
	if sealVkey == "" {
		return vkey + "\n"
	}
	return vkey + "\n" + sealVkey + "\n"
}

// Policy is the trust policy of the log for C2SP tools (c2sp.org/tlog-policy): its own signature is enough.
func Policy(vkey string) string { return "log " + vkey + "\nquorum none\n" }

// Keys is the file that names the log's keys.
func Keys(vkey, sealVkey string) []byte { return []byte(keysText(vkey, sealVkey)) }

func (c *bundleCheck) checkSeals(key *SealKey) error {
	if c.sealVkey == "" {
		if len(c.days) > 0 {
			return fmt.Errorf("%w: there are seals, and no key for them", ErrUnproved)
		}
		return nil
	}
	var texts [][]byte
	for _, name := range c.days {
		texts = append(texts, c.parts[name])
	}
	var err error
	if c.seals, err = CheckSeals(texts, c.sealVkey, key); err != nil {
		return err
	}
	for i := range c.seals {
		s := &c.seals[i]
		if BundleSeals+s.Day != c.days[i] || s.Origin != c.out.Origin || i == 0 && (s.Epoch != 0 || s.Previous != c.chain0) {
			return fmt.Errorf("%w: the seal in %s does not belong there, or earlier ones are missing", ErrUnproved, c.days[i])
		}
	}
	c.out.Seals = len(c.seals)
	return nil
}

// walk reads the rows and folds their hashes into tree and chain, comparing with every seal on the way.
func (c *bundleCheck) walk() (err error) {
	if c.run, err = parseRange(c.parts[BundleRange]); err != nil {
		return err
	}
	c.out.Index, c.out.Count = c.run.First, c.run.Count
	if c.run.First+c.run.Count > c.out.Size {
		return fmt.Errorf("%w: the checkpoint is of %d rows", ErrUnproved, c.out.Size)
	}
	if c.run.First == 0 && c.run.Chain != c.chain0 {
		return fmt.Errorf("%w: the chain does not begin with the genesis record", ErrUnproved)
	}
	tree, err := newFrontier(c.run.First, c.run.Left)
	if err != nil {
		return err
	}
	chain := c.run.Chain
	if err := c.compareSeals(tree, chain); err != nil {
		return err
	}
	in, err := c.rows.Open()
	if err != nil {
		return fmt.Errorf("read %s: %w", BundleRows, err)
	}
	defer in.Close()
	lines := bufio.NewScanner(in)
	lines.Buffer(make([]byte, 0, 64<<10), longestRow)
	lines.Split(scanWholeLines)
	for lines.Scan() {
		if tree.size == c.run.First+c.run.Count {
			return fmt.Errorf("%w: there are more rows than %s says", ErrUnproved, BundleRange)
		}
		leaf, err := c.leaf(lines.Bytes(), tree.size)
		if err != nil {
			return err
		}
		chain = ChainHash(tree.size, chain, leaf)
		tree.add(leaf)
		if err := c.compareSeals(tree, chain); err != nil {
			return err
		}
	}
	if err := lines.Err(); err != nil {
		return damagedPart(BundleRows, err)
	}
	if tree.size != c.run.First+c.run.Count {
		return fmt.Errorf("%w: there are fewer rows than %s says", ErrUnproved, BundleRange)
	}
	return c.reach(tree)
}

// reach leads from the tree that ends with the last row to the checkpoint.
func (c *bundleCheck) reach(tree *frontier) error {
	root := tree.root()
	if tree.size == c.out.Size {
		if root != tlog.Hash(c.out.Root) || len(c.run.Right) > 0 {
			return fmt.Errorf("%w: the rows do not hash to the checkpoint's root", ErrUnproved)
		}
		return nil
	}
	if err := tlog.CheckTree(c.run.Right, int64(c.out.Size), tlog.Hash(c.out.Root), int64(tree.size), root); err != nil {
		return fmt.Errorf("%w: these are not rows %d to %d of the log: %w", ErrUnproved, c.run.First, tree.size-1, err)
	}
	return nil
}

// scanWholeLines gives lines with their line's end missing; a last line without one is no line.
func scanWholeLines(data []byte, atEOF bool) (advance int, token []byte, err error) {
	if i := bytes.IndexByte(data, '\n'); i >= 0 {
		return i + 1, data[:i], nil
	}
	if atEOF && len(data) > 0 {
		return 0, nil, fmt.Errorf("%w: the last row is cut off", ErrUnproved)
	}
	return 0, nil, nil
}

// leaf is the leaf hash of a line: of the row, or the one that stands for a withheld row.
func (c *bundleCheck) leaf(line []byte, seq uint64) (tlog.Hash, error) {
	if text, ok := bytes.CutPrefix(line, []byte(withheldMark)); ok {
		b, err := base64.StdEncoding.Strict().DecodeString(string(text))
		if err != nil || len(b) != tlog.HashSize {
			return tlog.Hash{}, fmt.Errorf("%w: row %d is withheld without its hash", ErrUnproved, seq)
		}
		c.out.Withheld, c.lastWithheld = c.out.Withheld+1, seq
		return tlog.Hash(b), nil
	}
	var row struct {
		Seq *uint64 `json:"seq"`
	}
	if err := json.Unmarshal(line, &row); err != nil || row.Seq == nil || *row.Seq != seq {
		return tlog.Hash{}, fmt.Errorf("%w: what stands in the place of row %d is not this row", ErrUnproved, seq)
	}
	return tlog.RecordHash(line), nil
}

// compareSeals compares the seals of days that ended here.
func (c *bundleCheck) compareSeals(tree *frontier, chain [32]byte) error {
	for i := range c.seals {
		s := &c.seals[i]
		if s.Size > c.out.Size {
			return fmt.Errorf("%w: the seal of %s speaks of %d rows, the checkpoint of %d", ErrUnproved, s.Day, s.Size, c.out.Size)
		}
		if s.Size == tree.size && (tlog.Hash(s.Root) != tree.root() || s.Chain != chain) {
			return fmt.Errorf("%w: the %d rows up to %s are not those that its seal speaks of", ErrUnproved, s.Size, s.Day)
		}
	}
	return nil
}

// conclude says what the bundle does not show. Rows may be withheld only where a seal says so.
func (c *bundleCheck) conclude(coded bool) error {
	if c.out.Withheld > 0 && (len(c.seals) == 0 || c.seals[len(c.seals)-1].Minimum <= c.lastWithheld) {
		return fmt.Errorf("%d rows are withheld, and no seal in the bundle says that retention took them", c.out.Withheld)
	}
	say := func(s string) { c.out.NotChecked = append(c.out.NotChecked, s) }
	if !c.out.Pinned {
		say("Whose log it is: the keys lie in the bundle itself. Check it with keys that you got on another way.")
	}
	if len(c.seals) > 0 && !c.sealTrue {
		say("Whether the seals' key is the log's: it lies in the bundle itself.")
	}
	if len(c.seals) > 0 && !coded {
		say("Whether the seals were made on their days: the key that the log's owner keeps elsewhere shows that.")
	}
	say("Whether the rows were true when they were written: the bundle shows that the log holds them.")
	say("Whether the log shows others the same: compare checkpoints with somebody else.")
	return nil
}

// ChainHash is the row hash: it covers the row's leaf and, through the previous row hash, everything before. It is computed from leaf hashes only, so the chain survives
// when a row's content is taken away by retention.
func ChainHash(seq uint64, previous [32]byte, leaf tlog.Hash) [32]byte {
	b := make([]byte, 0, 128)
	b = append(b, "netaudit/row/v1\n"...)
	b = binary.BigEndian.AppendUint64(b, seq)
	b = append(b, previous[:]...)
	b = append(b, leaf[:]...)
	return sha256.Sum256(b)
}
