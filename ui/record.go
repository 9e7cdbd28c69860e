package ui

import (
	"encoding/hex"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/gin-gonic/gin"
	"golang.org/x/mod/sumdb/tlog"

	"netaudit/api"
	"netaudit/ledger"
	"netaudit/ledger/proof"
)

type recordContent struct {
	Seq         uint64
	Event       *ledger.Event
	Raw         string // the exact bytes that are hashed
	Leaf, Chain string
	Key         string // of the log, as proofs are checked with it
	Origin      string
	Size        uint64
	Previous    string // links, "" at the ends
	Next        string
	Steps       []callerStep
	Related     []link
	Proof       string // C2SP tlog-proof under the newest checkpoint
	Picture     *proofPicture
}

func (p *pages) record(c *gin.Context) {
	seq, err := strconv.ParseUint(c.Param("seq"), 10, 63)
	if err != nil {
		p.problem(c, http.StatusNotFound, "There is no such row", "Rows have numbers, from 0.")
		return
	}
	row, err := p.o.Ledger.Row(seq)
	if errors.Is(err, ledger.ErrNoRow) {
		p.problem(c, http.StatusNotFound, "There is no such row", "The log has {n} rows, numbered from 0.", p.o.Ledger.Size())
		return
	}
	if err != nil {
		p.failed(c, "read the row", err)
		return
	}
	e, err := ledger.ParseEvent(row.JSON)
	if err != nil {
		p.failed(c, "read the row", err)
		return
	}
	content := recordContent{
		Seq: seq, Event: &e, Raw: string(row.JSON), Leaf: hex.EncodeToString(row.Leaf[:]), Chain: hex.EncodeToString(row.Chain[:]),
		Origin: p.o.Ledger.Origin(), Size: p.o.Ledger.Size(), Key: p.o.Ledger.VerifierKey(),
	}
	if seq > 0 {
		content.Previous = "/log/" + strconv.FormatUint(seq-1, 10)
	}
	if seq+1 < content.Size {
		content.Next = "/log/" + strconv.FormatUint(seq+1, 10)
	}
	content.Steps, content.Related = callerSteps(p.words(c), &e), related(p.words(c), &e)
	if err := content.prove(p.o.Ledger, row); err != nil {
		p.failed(c, "prove the row", err)
		return
	}
	p.show(c, http.StatusOK, "record", "Row {n}", "log", content, seq)
}

// prove adds the proof and its picture.
func (r *recordContent) prove(l *ledger.Ledger, row ledger.Row) error {
	text, err := l.Proof(row.Seq)
	if err != nil {
		return err
	}
	r.Proof = string(text)
	r.Picture, err = drawProof(text, tlog.Hash(row.Leaf))
	return err
}

// Before is the number of the row before this one.
func (r recordContent) Before() uint64 { return r.Seq - 1 }

// rowBytes serves the row exactly as it is hashed, for checking its proof.
func (p *pages) rowBytes(c *gin.Context) {
	seq, err := strconv.ParseUint(c.Param("seq"), 10, 63)
	if err != nil {
		c.Status(http.StatusNotFound)
		return
	}
	row, err := p.o.Ledger.Row(seq)
	if err != nil {
		p.problem(c, http.StatusNotFound, "There is no such row", "The log has {n} rows, numbered from 0.", p.o.Ledger.Size())
		return
	}
	c.Data(http.StatusOK, "application/json", row.JSON)
}

type verifyContent struct {
	Word, Class, Origin, Root string
	Place, Detail             string
	Checked, NotChecked       []string
	Size                      uint64
	Milliseconds              int64
	At                        time.Time
	Note, Key                 string
	SealKey, Today            string
	Seals                     []sealedDay // newest first
	MoreSeals                 int
}

// sealedDay is one day of the calendar of seals.
type sealedDay struct {
	Day  string
	Rows uint64
	Late bool
}

// mostSealedDays bounds the calendar; the API lists all.
const mostSealedDays = 92

// calendar lists the newest seals. A seal that cannot be read is a damage, which the verification has named.
func (p *pages) calendar() (days []sealedDay, more int) {
	texts, err := p.o.Ledger.Seals()
	if err != nil {
		p.o.Logger.Error("the seals could not be read", "error", err)
		return nil, 0
	}
	for _, text := range slices.Backward(texts) {
		if s, err := proof.OpenSeal(text, p.o.Ledger.SealVerifierKey(), nil); err == nil && len(days) < mostSealedDays {
			days = append(days, sealedDay{s.Day, s.Rows, s.Late})
		}
	}
	return days, len(texts) - len(days)
}

// verify recomputes the hashes of what came since the last verification before it answers; ?now recomputes all.
func (p *pages) verify(c *gin.Context) {
	compute := p.o.Verifier.VerifyNew
	if c.Query("now") != "" {
		compute = p.o.Verifier.Verify
	}
	v, err := compute(c.Request.Context())
	if err != nil {
		p.failed(c, "verify the log", err)
		return
	}
	content := verifyContent{
		Word: "Intact", Class: "good", Origin: v.Origin, Root: hex.EncodeToString(v.Root[:]), Checked: v.Checked, NotChecked: v.NotChecked,
		Size: v.Size, Milliseconds: v.Elapsed.Milliseconds(), At: v.At, Note: string(p.o.Ledger.Checkpoint().Note), Key: p.o.Ledger.VerifierKey(),
	}
	content.SealKey, content.Today = p.o.Ledger.SealVerifierKey(), time.Now().UTC().Format(time.DateOnly)
	if content.SealKey != "" {
		content.Seals, content.MoreSeals = p.calendar()
	}
	switch v.Status {
	case ledger.Intact:
	case ledger.Tampered:
		content.Word, content.Class = "Tampered", "bad"
	default:
		content.Word, content.Class = "Cannot tell", "warn"
	}
	if d := v.Damage; d != nil {
		w := p.words(c)
		content.Place, content.Detail = w.Said(api.Place(d)), w.Said(d.Detail)
	}
	p.show(c, http.StatusOK, "verify", "Verification", "verify", content)
}
