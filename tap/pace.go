package tap

import (
	"runtime"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// pace tells a reader for whom frames come one by one, many in a millisecond, to let some come together: to be woken for each takes ten times as long as to read it. The zero value works; it belongs to the goroutine that reads.
type pace struct {
	frames int // read since the reader waited last
	waits  int // for a frame each, since window
	window time.Time
	rests  int // one after the other, as long as frames come together; 0: the reader is woken for each
}

const (
	paceWindow = time.Millisecond
	manyWaits  = 8 // in a window: frames come every 125 µs or more often
	restFor    = 200 * time.Microsecond
	restsAlone = 8 // after which others have their turn
)

// rest is called when there is no frame. It sleeps when frames come often, and says whether it did.
func (p *pace) rest(now time.Time) bool {
	frames := p.frames
	p.frames = 0
	switch {
	case p.rests > 0 && frames > 1:
		p.sleep()
		return true
	case p.rests > 0:
		p.rests = 0
	}
	if p.waits++; p.waits < manyWaits {
		return false
	}
	often := now.Sub(p.window) < paceWindow
	p.waits, p.window = 0, now
	if often {
		p.sleep()
	}
	return often
}

// sleep does not give the right to run Go code away: to give it and to have it back takes more processor time than all else. A garbage collection may have to wait for it, for 0.25 ms at most: that is restFor, and what the kernel may
// add (timer slack in prctl(2)).
func (p *pace) sleep() {
	if p.rests++; p.rests%restsAlone == 0 {
		runtime.Gosched()
	}
	t := unix.NsecToTimespec(int64(restFor))
	_, _, _ = unix.RawSyscall(unix.SYS_NANOSLEEP, uintptr(unsafe.Pointer(&t)), 0, 0) // a signal, as the runtime sends them to have a goroutine stop, may end it early
}
