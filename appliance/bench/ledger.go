package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"netaudit/ledger"
	"netaudit/tap"
)

// rowsPerBatch is how many rows the plain file takes between two fsyncs: the size of the ledger's own batches.
const rowsPerBatch = 256

// benchLedger appends rows durably, and writes the same rows to a plain file with an fsync a batch.
func benchLedger(ctx context.Context, o options) ([]figure, error) {
	dir, err := os.MkdirTemp("", "netaudit-bench-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	const rows = 50_000
	ours, err := timeLedger(ctx, filepath.Join(dir, "state"), rows)
	if err != nil {
		return nil, err
	}
	rival, err := timeFile(filepath.Join(dir, "plain"), rows)
	if err != nil {
		return nil, err
	}
	begin := time.Now()
	v, err := ledger.VerifyDir(ctx, filepath.Join(dir, "state"), nil)
	if err != nil || v.Status != ledger.Intact {
		return nil, fmt.Errorf("verify: %v, %w", v.Status, err)
	}
	return []figure{
		{What: "ledger: durable rows", Ours: rows / ours.Seconds(), Rival: rows / rival.Seconds(), Who: "plain file, fsync a batch", Unit: "rows/s", Goal: "≥ 40000"},
		{What: "ledger: verify", Ours: rows / time.Since(begin).Seconds(), Unit: "rows/s", Goal: "≥ 300000"},
	}, nil
}

func timeLedger(ctx context.Context, dir string, rows int) (time.Duration, error) {
	l, err := ledger.Open(dir, ledger.Options{Create: true})
	if err != nil {
		return 0, err
	}
	begin := time.Now()
	for i := range rows {
		if err := l.Append(ctx, sampleEvent(i)); err != nil {
			return 0, errors.Join(err, l.Close())
		}
	}
	if err := l.Flush(ctx); err != nil {
		return 0, errors.Join(err, l.Close())
	}
	took := time.Since(begin)
	return took, l.Close()
}

func timeFile(path string, rows int) (time.Duration, error) {
	f, err := os.Create(path)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	begin := time.Now()
	var batch []byte
	for i := range rows {
		e := sampleEvent(i)
		batch = append(e.AppendJSON(batch), '\n')
		if (i+1)%rowsPerBatch == 0 || i == rows-1 {
			if _, err := f.Write(batch); err != nil {
				return 0, err
			}
			if err := f.Sync(); err != nil {
				return 0, err
			}
			batch = batch[:0]
		}
	}
	return time.Since(begin), nil
}

// sampleEvent is a row like those of a busy Odoo host: an HTTPS call with owner and party.
func sampleEvent(i int) ledger.Event {
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).UnixNano() + int64(i)*1e6
	return ledger.Event{
		V: 1, Kind: "flow", State: "closed", Channel: "https", Direction: "outbound", Start: start, End: start + 5e7, DurationUS: 50_000,
		Src:       &ledger.Endpoint{IP: "10.77.0.2", Port: 32768 + i%28000, HasPort: true},
		Dst:       &ledger.Endpoint{IP: "203.0.113.10", Port: 443, HasPort: true, Host: "license.mit-odoo.de", HostSource: "sni"},
		HasCounts: true, SrcBytes: 1200, DstBytes: int64(3000 + i%500), SrcPackets: 12, DstPackets: 14,
		FlowID: fmt.Sprintf("bench-%x", i), CommunityID: "1:LQU9qZlK+B5F3KDmev6m5PMibrg=", TCPState: "SF", RTTUS: 20_100,
		TLS:      &ledger.TLS{Version: "1.3", SNI: "license.mit-odoo.de", ALPN: "http/1.1", JA4: "t13d1516h2_8daaf6152771_e5627efa2ab1"},
		Party:    &ledger.Party{Class: "mit_bound", Name: "MIT", Rule: "mit/domain:mit-odoo.de"},
		Process:  &ledger.Process{PID: 4242, Start: start, Exe: "/usr/bin/python3.11", UID: 103, Name: "odoo", Role: "odoo_http"},
		Addon:    &ledger.Addon{Name: "mit_license", Version: "19.0.3.1.0", Author: "MIT", Chain: []string{"mit_license"}, CallSite: "models.py:12 License.check"},
		Evidence: &ledger.Evidence{Source: "thread", Confidence: "exact", TID: 4250, LatencyUS: 310},
	}
}

func countPackets(file string) (int, error) {
	s, err := tap.OpenFile(file)
	if err != nil {
		return 0, err
	}
	defer s.Close()
	var p tap.Packet
	for n := 0; ; n++ {
		if err := s.Next(context.Background(), &p); err != nil {
			return n, nil // the end, however it looks: both programs read the same
		}
	}
}
