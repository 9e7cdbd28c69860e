package ledger

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/options"
	"github.com/dgraph-io/badger/v4/table"
	"github.com/dgraph-io/ristretto/v2/z"
	"golang.org/x/sync/errgroup"
)

// Badger's tables never change once they are written. The checksums inside them are those of their blocks before compression: comparing them means decompressing everything, which took ten times as long as reading it. So the sum of each
// whole file is kept beside the store, and only a file that has none, or another one, is read block by block. The sums find bits that a disk lost; they prove nothing to anybody, the hashes of the rows do that.

// tableSumsName is the file with the sums, in the state directory.
const tableSumsName = "badger.sums"

const tableSumsHeader = "netaudit/tables/v1\n"

// tableSum is size in bytes and CRC-32C of a table's file.
type tableSum struct {
	size int64
	crc  uint32
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// readTableSums reads the sums by file name; none when the file is missing or damaged.
func readTableSums(dir string) map[string]tableSum {
	sums := map[string]tableSum{}
	text, err := os.ReadFile(filepath.Join(dir, tableSumsName))
	body, last, ok := strings.Cut(string(text), "sum ")
	var crc uint32
	if n, scanErr := fmt.Sscanf(last, "%08x\n", &crc); err != nil || !ok || n != 1 || scanErr != nil || crc != crc32.Checksum([]byte(body), castagnoli) {
		return sums
	}
	for _, line := range strings.Split(strings.TrimPrefix(body, tableSumsHeader), "\n") {
		var name string
		var s tableSum
		if n, _ := fmt.Sscanf(line, "%s %d %08x", &name, &s.size, &s.crc); n == 3 { // a line in another form has no sum
			sums[name] = s
		}
	}
	return sums
}

// writeTableSums replaces the sums. It does not wait for the disk: sums that a crash loses or tears cost the next start some time.
func writeTableSums(dir string, sums map[string]tableSum) error {
	var text strings.Builder
	text.WriteString(tableSumsHeader)
	for name, s := range sums {
		fmt.Fprintf(&text, "%s %d %08x\n", name, s.size, s.crc)
	}
	body := text.String()
	text.WriteString(fmt.Sprintf("sum %08x\n", crc32.Checksum([]byte(body), castagnoli)))
	path := filepath.Join(dir, tableSumsName)
	err := os.WriteFile(path+".new", []byte(text.String()), 0o600)
	if err == nil {
		err = os.Rename(path+".new", path)
	}
	if err != nil {
		return fmt.Errorf("keep the sums of the store's tables: %w", err)
	}
	return nil
}

// sumTable reads a whole file.
func sumTable(path string) (s tableSum, err error) {
	f, err := os.Open(path)
	if err != nil {
		return s, err
	}
	defer f.Close()
	h := crc32.New(castagnoli)
	s.size, err = io.Copy(h, f)
	s.crc = h.Sum32()
	return s, err
}

// tablesOf reads which tables a store has: a crash leaves others lying about that were being made, which opening the store removes. What is wrong with the list opening the store will say.
func tablesOf(path string) map[uint64]badger.TableManifest {
	f, err := os.Open(filepath.Join(path, badger.ManifestFilename))
	if err != nil {
		return nil
	}
	defer f.Close()
	m, _, err := badger.ReplayManifestFile(f, 0, badger.DefaultOptions(path).WithLogger(nil))
	if err != nil {
		return nil
	}
	return m.Tables
}

// sumTables calls look for each table of a store, on every core, and returns the sums by file name. A table that goes away meanwhile, because somebody has the store open, is left out.
func sumTables(path string, look func(name string, t badger.TableManifest) (tableSum, error)) (map[string]tableSum, error) {
	sums, mu, group := map[string]tableSum{}, sync.Mutex{}, errgroup.Group{}
	group.SetLimit(runtime.GOMAXPROCS(0))
	for id, t := range tablesOf(path) {
		group.Go(func() error {
			name := table.IDToFilename(id)
			s, err := look(name, t)
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			if err != nil {
				return fmt.Errorf("table %s of the store: %w", name, err)
			}
			mu.Lock()
			sums[name] = s
			mu.Unlock()
			return nil
		})
	}
	return sums, group.Wait()
}

// checkTables compares every table with its sum, or its blocks with theirs. thorough does the latter with all of them.
func checkTables(dir, path string, thorough bool) (map[string]tableSum, error) {
	known := readTableSums(dir)
	return sumTables(path, func(name string, t badger.TableManifest) (tableSum, error) {
		s, err := sumTable(filepath.Join(path, name))
		if err != nil || s == known[name] && !thorough {
			return s, err
		}
		return s, checkBlocks(filepath.Join(path, name), t.Compression)
	})
}

// noteTables sums the tables that have none yet. Tables that have one keep it: what a disk lost since is to be found.
func noteTables(dir, path string) error {
	known := readTableSums(dir)
	var changed atomic.Bool
	sums, err := sumTables(path, func(name string, _ badger.TableManifest) (tableSum, error) {
		if info, err := os.Stat(filepath.Join(path, name)); err != nil || info.Size() == known[name].size {
			return known[name], err
		}
		changed.Store(true)
		return sumTable(filepath.Join(path, name))
	})
	if err != nil {
		return fmt.Errorf("sum the store's tables: %w", err)
	}
	if !changed.Load() && len(sums) == len(known) {
		return nil
	}
	return writeTableSums(dir, sums)
}

// checkBlocks reads a table as Badger does and compares the checksum of every block. Whatever is wrong with a table, also what makes Badger panic, is an error.
func checkBlocks(file string, compression options.CompressionType) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = errors.New("it cannot be read: its index or a block is damaged")
		}
	}()
	f, err := z.OpenMmapFile(file, os.O_RDONLY, 0)
	if err != nil {
		return err
	}
	_, err = table.OpenTable(f, table.Options{ReadOnly: true, ChkMode: options.OnTableRead, Compression: compression, BlockSize: blockSize})
	if err != nil { // OpenTable closed the file, but not on every way
		return fmt.Errorf("its checksums: %w", err)
	}
	return f.Close(-1)
}
