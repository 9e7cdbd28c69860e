package pystack

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"netaudit/attribution/pystack/memory"
)

// Bounds on the lists of the target.
const (
	maxInterpreters = 256
	maxThreads      = 4096
)

// Thread is one thread that runs Python.
type Thread struct {
	TID       int     // as the host sees it
	NativeID  int     // in its own pid namespace
	Name      string  // comm of the thread
	HoldsGIL  bool    // held its interpreter's lock when looked at, just before its stack was read
	Frames    []Frame // innermost first
	Truncated bool    // more frames than the bound of 4096
}

// Frame is one Python frame.
type Frame struct {
	File     string
	Line     int
	Function string // qualified name from 3.11, else the plain name
	Module   string // f_globals['__name__'], "" when absent
	Arg0Type string // tp_name of the first argument's type, "" when there is none or it is unreadable

	// OwnerModule is the module of the class that has this method, found through the first argument's type; only where that type's name has a dot, as those of Odoo's models
	// have. "" when the method stands in none of the type's classes.
	OwnerModule string

	// Forged says that the frame's globals call themselves a module of an Odoo addon and are not the globals of that module.
	Forged bool

	// Spec is the module of an Odoo addon whose globals these are by __spec__ and sys.modules, where __name__ says something else; "" when there is no such contradiction.
	Spec string

	// Lost says that the code of a recorded frame was gone before it could be named: all else is empty.
	Lost bool

	// Entry is the method that Odoo's dispatcher calls, in its frame only.
	Entry Entry

	// Job is what Odoo's scheduler runs, in its frame only; never in a recorded one.
	Job Job

	typ uint64 // of the first argument, where OwnerModule is looked for

	// Client is whom a server's frame serves, see clientOf; the zero value in all other frames.
	Client netip.AddrPort

	does   []uint64 // objects that stand for what the frame does for another thread, see Waiter; never in a recorded frame
	awaits uint64   // the object that the frame waits for
}

// Process is an open CPython process. Its methods may be called by several goroutines; they take turns at its memory, and wait for its threads side by side.
type Process struct {
	pid  int
	mem  memory.Reader
	rt   runtimeAt
	flat bool // its threads have the same ids in the host's pid namespace: a process never changes its own

	mu      sync.Mutex // guards the caches below
	reading uint64     // number of the stack that is being read
	codes   map[uint64]*code
	modules map[uint64]moduleName
	owners  map[owner]string
	chains  map[uint64][]uint64 // the frames of thread states, see expect
	cached  int                 // bytes in both

	expected  map[uint64][]memory.Piece // what was read last of thread states, see expect
	expecting int                       // pieces in it

	around atomic.Pointer[[]memory.Piece] // what states read last

	typeNames map[uint64]uint64 // by type: where its name was last

	pools    map[uint64]pool // by class of a model
	registry uint64          // the class of Odoo's registries, 0: not looked for, or not there yet
}

// Open finds the CPython runtime of a process. Errors: ErrNotPython, *UnsupportedError, *PermissionError, and
// os.ErrNotExist or os.ErrProcessDone when the process is gone.
func Open(pid int) (*Process, error) {
	p := newProcess(pid, memory.Process(pid))
	var err error
	if p.rt, err = findRuntime(pid, p.mem); err != nil {
		return nil, asPermission(pid, err)
	}
	native, err := p.nativeID(pid)
	if err != nil {
		return nil, err
	}
	p.flat = native == pid
	return p, nil
}

func newProcess(pid int, mem memory.Reader) *Process {
	return &Process{pid: pid, mem: mem, codes: map[uint64]*code{}, modules: map[uint64]moduleName{}, owners: map[owner]string{}, chains: map[uint64][]uint64{}, expected: map[uint64][]memory.Piece{}, pools: map[uint64]pool{}, typeNames: map[uint64]uint64{}}
}

// Version is the interpreter's version, such as "3.11.2"; "3.N" when the patch level is not to be found.
func (p *Process) Version() string { return p.rt.version }

// Close forgets what was cached. It has no other resources to free and never fails.
func (p *Process) Close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	clear(p.codes)
	clear(p.modules)
	clear(p.owners)
	clear(p.chains)
	clear(p.expected)
	clear(p.pools)
	clear(p.typeNames)
	p.cached, p.expecting = 0, 0
	return nil
}

func gone(err error) bool {
	return errors.Is(err, os.ErrProcessDone) || errors.Is(err, os.ErrPermission)
}

// threadState is a PyThreadState found in the target.
type threadState struct {
	addr   uint64
	native int
	gil    bool
}

// Thread reads the stack of the thread with this id, as the host sees it. One that runs is waited for. Errors: ErrNoThread, ErrTorn, *PermissionError,
// os.ErrNotExist or os.ErrProcessDone when it is gone.
func (p *Process) Thread(tid int) (Thread, error) {
	s, err := p.stateOf(tid)
	if err != nil {
		return Thread{}, err
	}
	return p.read(s, tid, inTurns)
}

// Asleep is Thread for a thread that has slept since rest began, and without its name: the stack is that of its system call, rest.Call. The error wraps ErrTorn when it has run meanwhile.
func (p *Process) Asleep(rest Rest) (Thread, error) {
	tid := rest.TID()
	switch {
	case rest.moment.pid != p.pid:
		return Thread{}, fmt.Errorf("thread %d of process %d: %w", tid, p.pid, ErrNoThread)
	case !rest.moment.asleep():
		return Thread{}, p.unread(tid, fmt.Errorf("%w (%w)", ErrTorn, errRuns))
	}
	s, err := p.stateOf(tid)
	if err != nil {
		return Thread{}, err
	}
	r, err := p.during(s.addr, rest.moment)
	switch {
	case err != nil && final(err):
		return Thread{}, p.unread(tid, err)
	case err != nil:
		return Thread{}, p.unread(tid, fmt.Errorf("%w (%w)", ErrTorn, err))
	}
	return threadOf(s, tid, r), nil
}

// stateOf finds the state of a thread of the host. It wraps ErrNoThread when CPython knows none.
func (p *Process) stateOf(tid int) (threadState, error) {
	native, err := p.nativeID(tid)
	if err != nil {
		return threadState{}, err
	}
	states, err := p.states()
	if err != nil {
		return threadState{}, asPermission(p.pid, err)
	}
	for _, s := range states {
		if s.native == native {
			return s, nil
		}
	}
	return threadState{}, fmt.Errorf("thread %d of process %d: %w", tid, p.pid, ErrNoThread)
}

// Threads reads the stacks of all threads that run Python, newest first. When some could not be read, those that were
// are returned together with the joined errors of the others.
func (p *Process) Threads() ([]Thread, error) {
	states, tids, err := p.running()
	if err != nil {
		return nil, err
	}
	return p.readAll(states, tids, inTurns)
}

// ThreadsBriefly is Threads for who has no time: threads that run are waited for some milliseconds at most, and are left out then.
func (p *Process) ThreadsBriefly() ([]Thread, error) {
	states, tids, err := p.running()
	if err != nil {
		return nil, err
	}
	return p.readAll(states, tids, napping)
}

// Only reads the stack of the only thread that runs Python, if it sleeps now. The error wraps ErrNoThread when there are more, else it is one of Asleep.
func (p *Process) Only() (Thread, error) {
	states, tids, err := p.running()
	if err != nil {
		return Thread{}, err
	}
	if len(states) != 1 {
		return Thread{}, fmt.Errorf("process %d runs Python in %d threads: %w", p.pid, len(states), ErrNoThread)
	}
	return p.read(states[0], tids[states[0].native], once)
}

// running lists the states of the threads that are there, and the host's thread ids by those that CPython stores.
func (p *Process) running() (states []threadState, tids map[int]int, err error) {
	if states, err = p.states(); err != nil {
		return nil, nil, asPermission(p.pid, err)
	}
	if tids, err = p.hostThreads(); err != nil {
		return nil, nil, err
	}
	return slices.DeleteFunc(states, func(s threadState) bool {
		_, there := tids[s.native]
		return !there // ended, or a thread state left by a fork
	}), tids, nil
}

func (p *Process) readAll(states []threadState, tids map[int]int, how persistence) (out []Thread, _ error) {
	var errs []error
	for _, s := range states {
		t, err := p.read(s, tids[s.native], how)
		if errors.Is(err, os.ErrNotExist) {
			continue // ended meanwhile
		}
		if err != nil {
			errs = append(errs, err)
			continue
		}
		out = append(out, t)
	}
	return out, errors.Join(errs...)
}

// hostThreads gives the host's thread ids by those that CPython stores.
func (p *Process) hostThreads() (map[int]int, error) {
	names, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", p.pid))
	if err != nil {
		return nil, fmt.Errorf("listing threads: %w", err)
	}
	tids := map[int]int{}
	for _, name := range names {
		tid, err := strconv.Atoi(name.Name())
		if err != nil {
			continue // not a thread
		}
		if native, err := p.nativeID(tid); err == nil { // else it just ended
			tids[native] = tid
		}
	}
	return tids, nil
}

// read reads the stack of a thread. The caller does not hold the lock.
func (p *Process) read(s threadState, tid int, how persistence) (Thread, error) {
	r, err := p.stack(s.addr, tid, how)
	if err != nil {
		return Thread{}, p.unread(tid, err)
	}
	t := threadOf(s, tid, r)
	t.Name = nameOf(p.pid, tid)
	return t, nil
}

// unread says what could not be read.
func (p *Process) unread(tid int, err error) error {
	return asPermission(p.pid, fmt.Errorf("reading thread %d of process %d: %w", tid, p.pid, err))
}

func threadOf(s threadState, tid int, r stack) Thread {
	return Thread{TID: tid, NativeID: s.native, HoldsGIL: s.gil, Frames: r.frames, Truncated: r.truncated}
}

// readByState reads a thread whose id on the host is not known yet: it need not be the one that CPython stores, for the process may live in a pid namespace of its own.
func (p *Process) readByState(s threadState) (Thread, error) {
	if native, err := p.nativeID(s.native); err == nil && native == s.native {
		return p.read(s, s.native, inTurns)
	}
	tids, err := p.hostThreads()
	if err != nil {
		return Thread{}, err
	}
	return p.read(s, tids[s.native], inTurns)
}

// nativeID translates a thread id of the host to the innermost pid namespace, which is what CPython stores.
func (p *Process) nativeID(tid int) (int, error) {
	if p.flat {
		return tid, nil
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/status", p.pid, tid))
	if err != nil {
		return 0, fmt.Errorf("finding thread %d of process %d: %w", tid, p.pid, err)
	}
	_, rest, found := strings.Cut(string(status), "\nNSpid:")
	line, _, _ := strings.Cut(rest, "\n")
	fields := strings.Fields(line)
	if !found || len(fields) == 0 {
		return tid, nil
	}
	return strconv.Atoi(fields[len(fields)-1])
}
