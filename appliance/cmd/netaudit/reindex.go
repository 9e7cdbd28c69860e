package main

import (
	"fmt"

	"netaudit/ledger"
)

type reindexCommand struct {
	Dir string `arg:"" help:"State directory of the ledger." type:"path" completion-predictor:"dir"`
}

// Help implements kong.HelpProvider.
func (reindexCommand) Help() string {
	return `Makes anew what searching and reports use and what follows from the rows alone: the index and the hourly sums. Rows, hashes and seals stay as
they are. Stop netaudit first.

Example:
  sudo netaudit reindex /var/lib/netaudit`
}

// Run opens the ledger, which makes both.
func (c *reindexCommand) Run(s *session) error {
	l, err := ledger.Open(c.Dir, ledger.Options{Reindex: true})
	if err != nil {
		return fmt.Errorf("reindex %s: %w", c.Dir, err)
	}
	size := l.Size()
	if err := l.Close(); err != nil {
		return fmt.Errorf("reindex %s: %w", c.Dir, err)
	}
	_, err = fmt.Fprintf(s.stdout, "%d rows indexed and added up; netaudit verify compares both with the rows\n", size)
	return err
}
