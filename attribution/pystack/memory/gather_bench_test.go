package memory

import (
	"math/rand/v2"
	"os"
	"testing"
	"unsafe"
)

// BenchmarkPages reads pieces that lie on pages of their own, somewhere in 80 MB: what copying a stack costs is mostly the number of its pages.
func BenchmarkPages(b *testing.B) {
	const pages, pieces = 20000, 20
	room := make([]byte, pages*page)
	for i := 0; i < len(room); i += page {
		room[i] = 1
	}
	start := uint64(uintptr(unsafe.Pointer(&room[0])))
	for b.Loop() {
		view := Over(Process(os.Getpid()))
		for range pieces {
			view.Want(start+uint64(rand.IntN(pages))*page+64, 160)
		}
		if view.Gather(); len(view.copies) == 0 {
			b.Fatal("nothing could be read")
		}
		view.Close()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/pieces, "ns/page")
}
