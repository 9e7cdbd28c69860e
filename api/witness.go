package api

import (
	"encoding/base64"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/gin-gonic/gin"

	"netaudit/ledger"
)

// mostCosigned bounds what a witness may send, in bytes.
const mostCosigned = 16 << 10

// registerWitness serves those who hold the log's history outside (c2sp.org/tlog-witness, c2sp.org/tlog-cosignature). They come to us: netaudit calls nobody. No token is needed: who may cosign is
// said by the keys in the configuration, and what is handed out are hashes.
func (s *server) registerWitness(r *gin.Engine) {
	r.GET("/checkpoint/witnessed", s.witnessed)
	r.GET("/witness/add-checkpoint", s.witnessRequest)
	r.POST("/witness/cosignature", s.cosign)
}

// witnessed serves the newest checkpoint that a witness cosigned, with the cosignatures.
func (s *server) witnessed(c *gin.Context) {
	if w, ok := s.o.Ledger.WitnessedCheckpoint(); ok {
		c.Data(http.StatusOK, "text/plain; charset=utf-8", w.Note)
		return
	}
	problem(c, http.StatusNotFound, "no witness has cosigned a checkpoint of this log")
}

// witnessRequest answers with the body that a witness' add-checkpoint call takes: the size that it has, the consistency proof from there, and the newest checkpoint. It can be passed on as it is.
func (s *server) witnessRequest(c *gin.Context) {
	old, err := strconv.ParseUint(c.DefaultQuery("old", "0"), 10, 63)
	checkpoint := s.o.Ledger.Checkpoint()
	if err != nil || old > checkpoint.Size {
		problem(c, http.StatusBadRequest, "old must be a number of rows up to "+strconv.FormatUint(checkpoint.Size, 10))
		return
	}
	var b strings.Builder
	b.WriteString("old " + strconv.FormatUint(old, 10) + "\n")
	if old > 0 && old < checkpoint.Size {
		hashes, err := s.o.Ledger.Consistency(old, checkpoint.Size)
		if err != nil {
			problem(c, http.StatusServiceUnavailable, err.Error())
			return
		}
		for _, h := range hashes {
			b.WriteString(base64.StdEncoding.EncodeToString(h[:]) + "\n")
		}
	}
	b.WriteString("\n")
	b.Write(checkpoint.Note)
	c.Data(http.StatusOK, "text/plain; charset=utf-8", []byte(b.String()))
}

// cosign takes a cosigned checkpoint: the note that /checkpoint or add-checkpoint handed out, with the witness' lines behind ours.
func (s *server) cosign(c *gin.Context) {
	if wait := s.failures.wait(c.RemoteIP()); wait > 0 {
		problem(c, http.StatusTooManyRequests, "too many refused cosignatures; try again later")
		return
	}
	text, err := io.ReadAll(http.MaxBytesReader(c.Writer, c.Request.Body, mostCosigned))
	if err != nil {
		problem(c, http.StatusRequestEntityTooLarge, "a cosigned checkpoint has at most "+strconv.Itoa(mostCosigned)+" bytes")
		return
	}
	taken, err := s.o.Ledger.Cosign(text)
	var refused *ledger.RefusedError
	switch {
	case errors.As(err, &refused):
		s.failures.note(c.RemoteIP())
		problem(c, refusals[refused.Reason], refused.Error())
	case err != nil:
		s.o.Logger.Error("a cosignature could not be kept", "error", err)
		problem(c, http.StatusServiceUnavailable, "the cosignature could not be kept; try again later")
	default:
		for _, w := range taken {
			s.o.Logger.Info("a witness holds the history outside", "witness", w.Name, "rows", w.Size)
		}
		c.JSON(http.StatusOK, heldOutside(taken))
	}
}

// refusals are the answers to what is wrong with a cosignature, after c2sp.org/tlog-witness.
var refusals = map[string]int{
	"malformed": http.StatusBadRequest, "unknown": http.StatusForbidden, "foreign": http.StatusUnprocessableEntity, "stale": http.StatusConflict, "future": http.StatusUnprocessableEntity,
}

type heldEntry struct {
	Witness string `json:"witness"`
	Size    uint64 `json:"size" doc:"Rows whose history the witness holds"`
	Time    string `json:"time" doc:"When it says that it saw them"`
}

func heldOutside(list []ledger.Witnessed) []heldEntry {
	out := make([]heldEntry, 0, len(list))
	for _, w := range list {
		out = append(out, heldEntry{w.Name, w.Size, w.Time.UTC().Format("2006-01-02T15:04:05Z")})
	}
	return out
}

// problem answers with a problem document (RFC 9457).
func problem(c *gin.Context, status int, detail string) {
	c.Header("Content-Type", "application/problem+json")
	c.AbortWithStatusJSON(status, gin.H{"title": http.StatusText(status), "status": status, "detail": detail})
}
