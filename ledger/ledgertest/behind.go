package ledgertest

import (
	"errors"
	"fmt"
	"path/filepath"

	"github.com/dgraph-io/badger/v4"
)

// ChangeRows changes what a closed ledger in a state directory stores of its rows, behind its back: harm gets the groups one after the other, oldest first, until it says what should be there instead; nil takes the group away.
// It is an error when harm wants none of them.
func ChangeRows(dir string, harm func(stored []byte) (instead []byte, found bool)) error {
	db, err := badger.Open(badger.DefaultOptions(filepath.Join(dir, "badger")).WithLogger(nil))
	if err != nil {
		return fmt.Errorf("open the store: %w", err)
	}
	err = db.Update(func(txn *badger.Txn) error {
		it := txn.NewIterator(badger.IteratorOptions{Prefix: []byte{' '}}) // the table of rows
		defer it.Close()
		for it.Rewind(); it.Valid(); it.Next() {
			stored, err := it.Item().ValueCopy(nil)
			if err != nil {
				return err
			}
			instead, found := harm(stored)
			switch key := it.Item().KeyCopy(nil); {
			case found && instead == nil:
				return txn.Delete(key)
			case found:
				return txn.Set(key, instead)
			}
		}
		return errors.New("no group of rows is the one to change")
	})
	return errors.Join(err, db.Close())
}
