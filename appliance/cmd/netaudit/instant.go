package main

import (
	"fmt"
	"time"
)

// instant is a flag's point in time.
type instant struct{ time.Time }

// UnmarshalText implements encoding.TextUnmarshaler: RFC 3339, or a day that begins in UTC.
func (i *instant) UnmarshalText(text []byte) (err error) {
	for _, layout := range []string{time.RFC3339, time.DateOnly} {
		if i.Time, err = time.Parse(layout, string(text)); err == nil {
			return nil
		}
	}
	return fmt.Errorf("%q is no time: write it like 2026-01-31T00:00:00Z, or 2026-01-31 for the beginning of a day in UTC", text)
}
