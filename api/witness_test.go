package api

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"filippo.io/torchwood"
	fmtlog "github.com/transparency-dev/formats/log"
	fmtwitness "github.com/transparency-dev/formats/witness"
	mproof "github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"netaudit/ledger"
	"netaudit/ledger/proof"
	"netaudit/ledger/report"
)

// outsider is a witness made of another author's signer. It keeps what it saw, as witnesses do.
type outsider struct {
	signer *torchwood.CosignatureSigner
	size   uint64
	root   []byte
}

func newOutsider(t *testing.T, name string) *outsider {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := torchwood.NewCosignatureSigner(name, key)
	if err != nil {
		t.Fatal(err)
	}
	return &outsider{signer: signer}
}

// cosign adds the witness' line to a checkpoint.
func (o *outsider) cosign(t *testing.T, checkpoint string) string {
	t.Helper()
	text, _, _ := strings.Cut(checkpoint, "\n\n")
	signed, err := note.Sign(&note.Note{Text: text + "\n"}, o.signer)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.SplitAfter(string(signed), "\n")
	return checkpoint + lines[len(lines)-2]
}

// visit does what a witness does: it asks from the size that it knows, checks the proof with a library of others, and brings its cosignature.
func (o *outsider) visit(t *testing.T, s *service, vkey string) (status int, body string) {
	t.Helper()
	_, request, _ := s.get(fmt.Sprintf("/witness/add-checkpoint?old=%d", o.size), "")
	head, checkpoint, ok := strings.Cut(request, "\n\n")
	lines := strings.Split(head, "\n")
	if !ok || lines[0] != fmt.Sprintf("old %d", o.size) {
		t.Fatalf("request %q", request)
	}
	verifier, err := note.NewVerifier(vkey)
	if err != nil {
		t.Fatal(err)
	}
	c, _, _, err := fmtlog.ParseCheckpoint([]byte(checkpoint), verifier.Name(), verifier)
	if err != nil {
		t.Fatal(err)
	}
	if o.size > 0 {
		var path [][]byte
		for _, line := range lines[1:] {
			h, err := tlog.ParseHash(line)
			if err != nil {
				t.Fatal(err)
			}
			path = append(path, h[:])
		}
		if err := mproof.VerifyConsistency(rfc6962.DefaultHasher, o.size, c.Size, path, o.root, c.Hash); err != nil {
			t.Fatalf("from %d to %d rows: %v", o.size, c.Size, err)
		}
	}
	o.size, o.root = c.Size, c.Hash
	return s.post("/witness/cosignature", o.cosign(t, checkpoint))
}

func (s *service) post(path, text string) (status int, body string) {
	s.t.Helper()
	answer, err := http.Post(s.URL+path, "text/plain", strings.NewReader(text))
	if err != nil {
		s.t.Fatal(err)
	}
	defer answer.Body.Close()
	b, err := io.ReadAll(answer.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	if answer.StatusCode != http.StatusOK && answer.Header.Get("Content-Type") != "application/problem+json" {
		s.t.Errorf("%d is no problem document: %s", answer.StatusCode, b)
	}
	return answer.StatusCode, string(b)
}

// serveWitnessed is the API over a ledger that takes cosignatures.
func serveWitnessed(t *testing.T, dir string, keys ...string) *service {
	t.Helper()
	l, err := ledger.Open(dir, ledger.Options{Create: true, Witnesses: keys})
	if err != nil {
		t.Fatal(err)
	}
	tokens, err := OpenTokens(filepath.Join(t.TempDir(), "tokens.json"))
	if err != nil {
		t.Fatal(err)
	}
	engine, err := New(Options{Ledger: l, Tokens: tokens, Version: "test", Host: "odoo-host"})
	if err != nil {
		t.Fatal(err)
	}
	s := &service{Server: httptest.NewServer(engine), t: t, ledger: l, tokens: tokens}
	t.Cleanup(func() {
		s.Close()
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func (s *service) grow(n int) {
	s.t.Helper()
	for i := range n {
		if err := s.ledger.Append(s.t.Context(), ledger.Event{Kind: "lifecycle", Rule: "start", Message: fmt.Sprint(i), Start: 1, End: 1}); err != nil {
			s.t.Fatal(err)
		}
	}
	if err := s.ledger.Flush(s.t.Context()); err != nil {
		s.t.Fatal(err)
	}
}

// TestWitnessesHoldTheHistoryOutside: two witnesses come, the log grows, one comes again. What they signed is served, kept over a new start, and accepted by unmodified libraries under a policy that demands it.
func TestWitnessesHoldTheHistoryOutside(t *testing.T) {
	a, b := newOutsider(t, "witness.example/a"), newOutsider(t, "witness.example/b")
	dir := filepath.Join(t.TempDir(), "state")
	s := serveWitnessed(t, dir, a.signer.Verifier().String(), b.signer.Verifier().String())
	vkey := s.ledger.VerifierKey()
	if status, _, _ := s.get("/checkpoint/witnessed", ""); status != http.StatusNotFound {
		t.Errorf("before a witness came: %d", status)
	}
	s.grow(300)
	for _, w := range []*outsider{a, b} {
		if status, body := w.visit(t, s, vkey); status != http.StatusOK || !strings.Contains(body, `"size":300`) {
			t.Fatalf("%d %s", status, body)
		}
	}
	policy, err := torchwood.ParsePolicy([]byte("log " + vkey + "\nwitness a " + a.signer.Verifier().String() + "\nwitness b " + b.signer.Verifier().String() + "\ngroup both all a b\nquorum both\n"))
	if err != nil {
		t.Fatal(err)
	}
	_, open, _ := s.get("/checkpoint", "")
	if c, _, err := torchwood.VerifyCheckpoint([]byte(open), policy); err != nil || c.N != 300 {
		t.Errorf("/checkpoint under a policy with both witnesses: %+v, %v", c, err)
	}
	s.grow(20)
	if _, open, _ = s.get("/checkpoint", ""); strings.Count(open, "— ") != 1 {
		t.Errorf("cosignatures stand under a checkpoint that nobody saw: %s", open)
	}
	_, witnessed, _ := s.get("/checkpoint/witnessed", "")
	if c, _, err := torchwood.VerifyCheckpoint([]byte(witnessed), policy); err != nil || c.N != 300 {
		t.Errorf("/checkpoint/witnessed: %+v, %v", c, err)
	}
	both, err := fmtwitness.ParsePolicy([]byte("log " + vkey + " http://log.example/\nwitness a " + a.signer.Verifier().String() + " http://a.example/\nwitness b " + b.signer.Verifier().String() + " http://b.example/\ngroup both all a b\nquorum both\n"))
	if err != nil || !both.Satisfied([]byte(witnessed)) {
		t.Errorf("transparency-dev's policy is not satisfied: %v", err)
	}
	checkProofs(t, s, policy)
	if status, body := a.visit(t, s, vkey); status != http.StatusOK {
		t.Errorf("%d %s", status, body)
	}
	held := s.ledger.Witnessed()
	r, err := report.Build(t.Context(), s.ledger, time.Now().Add(-time.Hour), time.Now(), report.Rules{Install: "host"})
	if err != nil || r.Held == nil || r.Held.Rows != 320 || r.Held.Witness != "witness.example/a" || len(held) != 2 || held[1].Size != 300 {
		t.Errorf("%+v, %+v, %v", held, r.Held, err)
	}
	if err := s.ledger.Close(); err != nil {
		t.Fatal(err)
	}
	s = serveWitnessed(t, dir, a.signer.Verifier().String())
	if held := s.ledger.Witnessed(); len(held) != 1 || held[0].Size != 320 { // b is not in the configuration any more
		t.Errorf("after a new start: %+v", held)
	}
}

// checkProofs says that proofs and bundles of cosigned rows stand under the cosigned checkpoint, and that our own verifiers do not mind the lines of others.
func checkProofs(t *testing.T, s *service, policy torchwood.Policy) {
	t.Helper()
	row, err := s.ledger.Row(7)
	if err != nil {
		t.Fatal(err)
	}
	text, err := s.ledger.Proof(7)
	if err != nil {
		t.Fatal(err)
	}
	if err := torchwood.VerifyProof(policy, tlog.RecordHash(row.JSON), text); err != nil {
		t.Errorf("the proof of a cosigned row under a policy with both witnesses: %v", err)
	}
	if _, err := proof.Verify(row.JSON, text, s.ledger.VerifierKey()); err != nil {
		t.Error(err)
	}
	if text, err = s.ledger.Proof(310); err != nil || bytes.Count(text, []byte("— ")) != 1 {
		t.Errorf("the proof of a row that nobody cosigned: %v", err)
	}
	var b bytes.Buffer
	if err := s.ledger.WriteBundle(t.Context(), &b, 5, 20); err != nil {
		t.Fatal(err)
	}
	got, err := proof.CheckBundle(bytes.NewReader(b.Bytes()), int64(b.Len()), []string{s.ledger.VerifierKey()}, nil)
	if err != nil || got.Size != 300 {
		t.Errorf("bundle: %+v, %v", got, err)
	}
	file := filepath.Join(t.TempDir(), "bundle.zip")
	if err := os.WriteFile(file, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("python3", "../ledger/proof/verify_bundle.py", "--key", s.ledger.VerifierKey(), "--key", s.ledger.SealVerifierKey(), file).CombinedOutput(); err != nil {
		t.Errorf("the Python program: %v\n%s", err, out)
	}
}

// TestHostileCosignaturesAreRefused sends everything but an honest cosignature.
func TestHostileCosignaturesAreRefused(t *testing.T) {
	a, stranger := newOutsider(t, "witness.example/a"), newOutsider(t, "witness.example/a")
	s := serveWitnessed(t, filepath.Join(t.TempDir(), "state"), a.signer.Verifier().String())
	other := serveWitnessed(t, filepath.Join(t.TempDir(), "other"), a.signer.Verifier().String())
	s.grow(10)
	early := string(s.ledger.Checkpoint().Note)
	s.grow(10)
	other.grow(20)
	now := string(s.ledger.Checkpoint().Note)
	if status, body := s.post("/witness/cosignature", a.cosign(t, now)); status != http.StatusOK {
		t.Fatalf("%d %s", status, body)
	}
	honest := a.cosign(t, now)
	at, another := len(honest)-20, "A" // of the cosignature's base64
	if honest[at] == 'A' {
		another = "B"
	}
	for name, c := range map[string]struct {
		text   string
		status int
	}{
		"nothing":                       {"", 400},
		"no note":                       {"old 3\n\nnetaudit\n", 400},
		"control characters":            {"\x00\x01\n\n— a b\n", 400},
		"another log's checkpoint":      {a.cosign(t, string(other.ledger.Checkpoint().Note)), 400},
		"no cosignature":                {now, 403},
		"a stranger of the same name":   {stranger.cosign(t, now), 403},
		"a signature of another text":   {strings.Replace(honest, "\n20\n", "\n19\n", 1), 400},
		"a changed cosignature":         {honest[:at] + another + honest[at+1:], 400},
		"an older checkpoint":           {a.cosign(t, early), 409},
		"the same once more":            {s.cosigned(t), 409},
		"more than a witness can say":   {honest + strings.Repeat("— x AAAAAAAA\n", 2000), 413},
		"a plain signature of the key":  {plain(t, now), 403},
		"a signature without the log's": {strings.Replace(honest, "— "+s.ledger.Origin(), "— netaudit/nobody", 1), 400},
	} {
		status, body := s.post("/witness/cosignature", c.text)
		var p struct {
			Status int
			Title  string
			Detail string
		}
		if err := json.Unmarshal([]byte(body), &p); err != nil || status != c.status || p.Status != c.status || p.Title == "" || p.Detail == "" {
			t.Errorf("%s: %d, want %d: %s", name, status, c.status, body)
		}
	}
	if held := s.ledger.Witnessed(); len(held) != 1 || held[0].Size != 20 {
		t.Errorf("%+v", held)
	}
	for path, want := range map[string]int{"/witness/add-checkpoint?old=21": 400, "/witness/add-checkpoint?old=-1": 400, "/witness/add-checkpoint?old=x": 400, "/witness/add-checkpoint?old=20": 200, "/witness/add-checkpoint": 200} {
		if status, _, _ := s.get(path, ""); status != want {
			t.Errorf("%s: %d, want %d", path, status, want)
		}
	}
}

// cosigned is what the log has from its witness.
func (s *service) cosigned(t *testing.T) string {
	t.Helper()
	c, ok := s.ledger.WitnessedCheckpoint()
	if !ok {
		t.Fatal("nothing is cosigned")
	}
	return string(c.Note)
}

// plain signs like a log, without a time.
func plain(t *testing.T, checkpoint string) string {
	t.Helper()
	skey, _, err := note.GenerateKey(rand.Reader, "witness.example/a")
	if err != nil {
		t.Fatal(err)
	}
	signer, err := note.NewSigner(skey)
	if err != nil {
		t.Fatal(err)
	}
	text, _, _ := strings.Cut(checkpoint, "\n\n")
	signed, err := note.Sign(&note.Note{Text: text + "\n"}, signer)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.SplitAfter(string(signed), "\n")
	return checkpoint + lines[len(lines)-2]
}
