package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humagin"

	"netaudit/ledger"
	"netaudit/ledger/proof"
)

type sealsBody struct {
	Key   string      `json:"vkey" doc:"Public key of the seals (C2SP vkey)"`
	Seals []sealEntry `json:"seals"`
}

type sealEntry struct {
	Day   string `json:"day" doc:"UTC day"`
	Epoch uint64 `json:"epoch"`
	Size  uint64 `json:"size" doc:"Rows of the log when the day ended"`
	Rows  uint64 `json:"rows" doc:"Rows of the day"`
	Late  bool   `json:"late" doc:"Written after more than the day that follows"`
	Note  string `json:"note" doc:"The seal itself (C2SP signed note)"`
}

func (s *server) seals(context.Context, *struct{}) (*struct{ Body sealsBody }, error) {
	texts, err := s.o.Ledger.Seals()
	if err != nil {
		return nil, err
	}
	out := sealsBody{Key: s.o.Ledger.SealVerifierKey(), Seals: []sealEntry{}}
	if out.Key == "" {
		return &struct{ Body sealsBody }{out}, nil
	}
	for _, text := range texts {
		one, err := proof.OpenSeal(text, out.Key, nil)
		if err != nil {
			return nil, fmt.Errorf("read the seals: %w", err)
		}
		out.Seals = append(out.Seals, sealEntry{one.Day, one.Epoch, one.Size, one.Rows, one.Late, string(text)})
	}
	return &struct{ Body sealsBody }{out}, nil
}

type consistencyInput struct {
	From uint64 `query:"from" required:"true" minimum:"1" doc:"Size of the older checkpoint"`
	To   uint64 `query:"to" doc:"Size of the newer one; default: the newest"`
}

type consistencyBody struct {
	From   uint64   `json:"from"`
	To     uint64   `json:"to"`
	Hashes [][]byte `json:"hashes" doc:"RFC 6962 §2.1.2, base64"`
}

func (s *server) consistency(_ context.Context, in *consistencyInput) (*struct{ Body consistencyBody }, error) {
	to := in.To
	if to == 0 {
		to = s.o.Ledger.Size()
	}
	hashes, err := s.o.Ledger.Consistency(in.From, to)
	if errors.Is(err, ledger.ErrNoRow) {
		return nil, huma.Error400BadRequest(err.Error())
	}
	if err != nil {
		return nil, err
	}
	out := consistencyBody{From: in.From, To: to, Hashes: [][]byte{}}
	for _, h := range hashes {
		out.Hashes = append(out.Hashes, h[:])
	}
	return &struct{ Body consistencyBody }{out}, nil
}

type bundleInput struct {
	Rows string `query:"rows" doc:"N or N-M" example:"4200-4300"`
	Day  string `query:"day" doc:"UTC day on which the rows were logged" example:"2026-11-23"`
}

func (s *server) bundle(_ context.Context, in *bundleInput) (*huma.StreamResponse, error) {
	first, count, name, err := s.chosenRows(in)
	if err != nil {
		return nil, err
	}
	return &huma.StreamResponse{Body: func(ctx huma.Context) {
		ctx.SetHeader("Content-Type", "application/zip")
		ctx.SetHeader("Content-Disposition", `attachment; filename="netaudit-`+name+`.zip"`)
		s.exported(humagin.Unwrap(ctx).Request, name)
		if err := s.o.Ledger.WriteBundle(ctx.Context(), ctx.BodyWriter(), first, count); err != nil {
			s.o.Logger.Warn("a bundle was not written to its end", "error", err) // the reader sees a zip file without its end
		}
	}}, nil
}

// exported notes that rows left the appliance. The bundle holds the rows of before.
func (s *server) exported(r *http.Request, what string) {
	if reader, ok := s.o.Tokens.Reader(r); ok {
		s.o.Access.Exported(r.Context(), r, reader, "a proof bundle ("+what+")", s.o.Ledger.Checkpoint().Size)
	}
}

func (s *server) chosenRows(in *bundleInput) (first, count uint64, name string, err error) {
	switch {
	case in.Rows != "" && in.Day != "":
		return 0, 0, "", huma.Error400BadRequest("rows and day exclude each other")
	case in.Day != "":
		day, parseErr := time.Parse(time.DateOnly, in.Day)
		if parseErr != nil {
			return 0, 0, "", huma.Error400BadRequest("day is written like 2026-11-23")
		}
		first, count, err = s.o.Ledger.DayRows(day)
		name = in.Day
	case in.Rows != "":
		if first, count, err = ledger.ParseRows(in.Rows); err != nil {
			return 0, 0, "", huma.Error400BadRequest(err.Error())
		}
		name = "rows-" + in.Rows
	default:
		count, name = s.o.Ledger.Size(), "all"
	}
	if err == nil && (count == 0 || first+count > s.o.Ledger.Size()) {
		err = ledger.ErrNoRow
	}
	if err != nil {
		return 0, 0, "", huma.Error404NotFound("the log does not have these rows")
	}
	return first, count, name, nil
}
