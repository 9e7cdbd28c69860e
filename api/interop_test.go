package api

import (
	"net/http"
	"net/url"
	"testing"

	"filippo.io/torchwood"
	"github.com/transparency-dev/merkle/rfc6962"
	tapi "github.com/transparency-dev/tessera/api"
	"github.com/transparency-dev/tessera/client"
	"github.com/transparency-dev/tessera/fsck"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"netaudit/ledger/proof"
)

// interopRows make two full tiles and a partial one.
const interopRows = 600

// TestTesserasFsckFindsNothingWrong lets somebody else's program read the whole log over HTTP and rebuild every tile of it.
func TestTesserasFsckFindsNothingWrong(t *testing.T) {
	s := serve(t, interopRows)
	base, err := url.Parse(s.URL + "/")
	if err != nil {
		t.Fatal(err)
	}
	fetcher, err := client.NewHTTPFetcher(base, nil)
	if err != nil {
		t.Fatal(err)
	}
	fetcher.SetAuthorizationHeader("Bearer " + s.token)
	verifier, err := note.NewVerifier(s.ledger.VerifierKey())
	if err != nil {
		t.Fatal(err)
	}
	hashes := 0
	hasher := func(bundle []byte) ([][]byte, error) {
		var b tapi.EntryBundle
		if err := b.UnmarshalText(bundle); err != nil {
			return nil, err
		}
		var leaves [][]byte
		for _, e := range b.Entries {
			leaves = append(leaves, rfc6962.DefaultHasher.HashLeaf(e))
			hashes++
		}
		return leaves, nil
	}
	if err := fsck.New(s.ledger.Origin(), verifier, fetcher, hasher, fsck.Opts{N: 2}).Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	if hashes != interopRows {
		t.Errorf("it read %d rows", hashes)
	}
	wrong := func(bundle []byte) ([][]byte, error) {
		leaves, err := hasher(bundle)
		if err == nil {
			leaves[0][0] ^= 1
		}
		return leaves, err
	}
	if err := fsck.New(s.ledger.Origin(), verifier, fetcher, wrong, fsck.Opts{N: 64}).Check(t.Context()); err == nil {
		t.Error("it would find nothing wrong with other rows either")
	}
}

// bearer adds a token to requests: torchwood's client knows none.
type bearer struct{ token string }

func (b bearer) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "Bearer "+b.token)
	return http.DefaultTransport.RoundTrip(r)
}

// TestTorchwoodReadsAndProvesEveryRow uses another author's client for tiles and for proofs.
func TestTorchwoodReadsAndProvesEveryRow(t *testing.T) {
	s := serve(t, interopRows)
	policy, err := torchwood.ParsePolicy([]byte(proof.Policy(s.ledger.VerifierKey())))
	if err != nil {
		t.Fatal(err)
	}
	checkpoint, _, err := torchwood.VerifyCheckpoint(s.ledger.Checkpoint().Note, policy)
	if err != nil {
		t.Fatal(err)
	}
	fetcher, err := torchwood.NewTileFetcher(s.URL, torchwood.WithHTTPClient(&http.Client{Transport: bearer{s.token}}))
	if err != nil {
		t.Fatal(err)
	}
	reader, err := torchwood.NewClient(fetcher)
	if err != nil {
		t.Fatal(err)
	}
	rows := int64(0)
	for i, entry := range reader.AllEntries(t.Context(), checkpoint.Tree, 0) {
		row, err := s.ledger.Row(uint64(i))
		if err != nil || string(row.JSON) != string(entry) {
			t.Fatalf("row %d: %v", i, err)
		}
		text, err := s.ledger.Proof(uint64(i))
		if err != nil {
			t.Fatal(err)
		}
		if err := torchwood.VerifyProof(policy, tlog.RecordHash(entry), text); err != nil {
			t.Errorf("proof of row %d: %v", i, err)
		}
		if err := torchwood.VerifyProof(policy, tlog.RecordHash([]byte(string(entry)+" ")), text); err == nil {
			t.Errorf("row %d: another row is proved too", i)
		}
		rows++
	}
	if err := reader.Err(); err != nil || rows != interopRows {
		t.Errorf("%d rows, %v", rows, err)
	}
}

func TestRowsAreNotServedWithoutAToken(t *testing.T) {
	s := serve(t, 300)
	for path, want := range map[string]int{"/tile/entries/000": 401, "/tile/entries/001.p/44": 401, "/tile/entries/x": 404, "/tile/0/000": 200} {
		if status, _, _ := s.get(path, ""); status != want {
			t.Errorf("%s: %d, want %d", path, status, want)
		}
	}
	for path, want := range map[string]int{"/tile/entries/000": 200, "/tile/entries/001.p/44": 200, "/tile/entries/001.p/45": 404, "/tile/entries/001": 404} {
		if status, _, _ := s.get(path, s.token); status != want {
			t.Errorf("%s with a token: %d, want %d", path, status, want)
		}
	}
}
