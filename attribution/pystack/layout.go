package pystack

import (
	"fmt"
	"runtime"

	"netaudit/attribution/pystack/memory"
)

// layout holds the byte offsets of one CPython minor version (64-bit release build with the GIL). Names are CPython's:
// <struct>.<field>. Zero stands for "this version has no such field" where a field can not be first.
type layout struct {
	minor int

	interpretersHead, tstateCurrent  uint64 // _PyRuntimeState; tstate_current to 3.11
	interpNext, threadsHead, gil     uint64 // PyInterpreterState; gil from 3.12
	modules                          uint64 // imports.modules from 3.12
	tsNext, tsFrame, tsCframe        uint64 // PyThreadState; frame to 3.10, cframe 3.11 and 3.12
	tsCurrentFrame, tsThreadID       uint64 // current_frame from 3.13
	tsNativeID, tsChunk              uint64 // from 3.11
	cframeCurrent                    uint64 // _PyCFrame.current_frame
	fBack, fCode, fGlobals           uint64 // PyFrameObject or _PyInterpreterFrame (previous, f_executable)
	fLasti, fState, fOwner, fLocals  uint64 // f_lasti is prev_instr / instr_ptr from 3.11
	coFilename, coName, coQualname   uint64 // PyCodeObject
	coFirstline, coLines, coAdaptive uint64
	coArgcount                       uint64
	asciiSize, compactSize           uint64 // sizeof PyASCIIObject, PyCompactUnicodeObject
}

// layouts come from the headers of each version: pycore_runtime.h, pycore_interp.h, cpython/pystate.h, pycore_frame.h,
// frameobject.h, cpython/code.h, cpython/unicodeobject.h. From 3.13 most are replaced by _Py_DebugOffsets at run time.
var layouts = map[int]layout{
	8: {
		interpretersHead: 32, modules: 56, tstateCurrent: 1368, threadsHead: 8, tsNext: 8, tsFrame: 24, tsThreadID: 176,
		fBack: 24, fCode: 32, fGlobals: 48, fLasti: 104, fState: 116, fLocals: 360,
		coFilename: 104, coName: 112, coFirstline: 40, coLines: 120, coArgcount: 16, asciiSize: 48, compactSize: 72,
	},
	9: {
		interpretersHead: 32, modules: 856, tstateCurrent: 568, threadsHead: 8, tsNext: 8, tsFrame: 24, tsThreadID: 176,
		fBack: 24, fCode: 32, fGlobals: 48, fLasti: 104, fState: 116, fLocals: 360,
		coFilename: 104, coName: 112, coFirstline: 40, coLines: 120, coArgcount: 16, asciiSize: 48, compactSize: 72,
	},
	10: {
		interpretersHead: 32, modules: 856, tstateCurrent: 568, threadsHead: 8, tsNext: 8, tsFrame: 24, tsThreadID: 176,
		fBack: 24, fCode: 32, fGlobals: 48, fLasti: 96, fState: 108, fLocals: 352,
		coFilename: 104, coName: 112, coFirstline: 40, coLines: 120, coArgcount: 16, asciiSize: 48, compactSize: 72,
	},
	11: {
		interpretersHead: 40, modules: 888, tstateCurrent: 576, threadsHead: 16, tsNext: 8, tsCframe: 56, cframeCurrent: 8,
		tsThreadID: 152, tsNativeID: 160, tsChunk: 296,
		fBack: 48, fCode: 32, fGlobals: 8, fLasti: 56, fOwner: 69, fLocals: 72,
		coFilename: 112, coName: 120, coQualname: 128, coFirstline: 72, coLines: 136, coAdaptive: 184, coArgcount: 56,
		asciiSize: 48, compactSize: 72,
	},
	12: {
		interpretersHead: 40, modules: 944, threadsHead: 72, gil: 384, tsNext: 8, tsCframe: 56, cframeCurrent: 0,
		tsThreadID: 136, tsNativeID: 144, tsChunk: 232,
		fBack: 8, fCode: 0, fGlobals: 24, fLasti: 56, fOwner: 70, fLocals: 72,
		coFilename: 112, coName: 120, coQualname: 128, coFirstline: 68, coLines: 136, coAdaptive: 192, coArgcount: 52,
		asciiSize: 40, compactSize: 56,
	},
	13: {
		interpretersHead: 632, modules: 7656, interpNext: 7264, threadsHead: 7344, gil: 16, tsNext: 8, tsCurrentFrame: 72,
		tsThreadID: 152, tsNativeID: 160, tsChunk: 232,
		fBack: 8, fCode: 0, fGlobals: 24, fLasti: 56, fOwner: 70, fLocals: 72,
		coFilename: 112, coName: 120, coQualname: 128, coFirstline: 68, coLines: 136, coAdaptive: 200, coArgcount: 52,
		asciiSize: 40, compactSize: 56,
	},
	14: {
		interpretersHead: 808, modules: 7688, interpNext: 7272, threadsHead: 7344, gil: 16, tsNext: 8, tsCurrentFrame: 72,
		tsThreadID: 152, tsNativeID: 160, tsChunk: 232,
		fBack: 8, fCode: 0, fGlobals: 24, fLasti: 56, fOwner: 74, fLocals: 80,
		coFilename: 112, coName: 120, coQualname: 128, coFirstline: 68, coLines: 136, coAdaptive: 208, coArgcount: 52,
		asciiSize: 40, compactSize: 56,
	},
}

// armTstateCurrent is where aarch64 differs: larger pthread mutexes precede gilstate in _PyRuntimeState.
var armTstateCurrent = map[int]uint64{8: 1384, 9: 584, 10: 584, 11: 592}

// glibc's struct pthread.tid, as published by its _thread_db_pthread_tid descriptor (2.31 to 2.43).
var pthreadTID = map[string]uint64{"amd64": 720, "arm64": 208}

// Bounds on the offsets read from the target.
const (
	maxOffset = 1 << 20 // the largest struct they point into is below 1 MiB
	maxHead   = 240     // frames and code objects are read up to their last field of interest
	maxState  = 1024    // and so are thread states
)

func layoutFor(minor int) (layout, bool) {
	l, ok := layouts[minor]
	l.minor = minor
	if arm := armTstateCurrent[minor]; ok && arm != 0 && runtime.GOARCH == "arm64" {
		l.tstateCurrent = arm
	}
	return l, ok
}

// debugOffset says where in _Py_DebugOffsets (pycore_debug_offsets.h) the offset of a field stands, for 3.13 and 3.14.
type debugOffset struct {
	at    [2]uint64
	field func(*layout) *uint64
}

var debugOffsets = []debugOffset{
	{[2]uint64{40, 40}, func(l *layout) *uint64 { return &l.interpretersHead }},
	{[2]uint64{64, 64}, func(l *layout) *uint64 { return &l.interpNext }},
	{[2]uint64{72, 72}, func(l *layout) *uint64 { return &l.threadsHead }},
	{[2]uint64{88, 96}, func(l *layout) *uint64 { return &l.modules }},
	{[2]uint64{112, 120}, func(l *layout) *uint64 { return &l.gil }},
	{[2]uint64{168, 192}, func(l *layout) *uint64 { return &l.tsNext }},
	{[2]uint64{184, 208}, func(l *layout) *uint64 { return &l.tsCurrentFrame }},
	{[2]uint64{192, 216}, func(l *layout) *uint64 { return &l.tsThreadID }},
	{[2]uint64{200, 224}, func(l *layout) *uint64 { return &l.tsNativeID }},
	{[2]uint64{208, 232}, func(l *layout) *uint64 { return &l.tsChunk }},
	{[2]uint64{232, 256}, func(l *layout) *uint64 { return &l.fBack }},
	{[2]uint64{240, 264}, func(l *layout) *uint64 { return &l.fCode }},
	{[2]uint64{248, 272}, func(l *layout) *uint64 { return &l.fLasti }},
	{[2]uint64{264, 288}, func(l *layout) *uint64 { return &l.fOwner }},
	{[2]uint64{280, 320}, func(l *layout) *uint64 { return &l.coFilename }},
	{[2]uint64{288, 328}, func(l *layout) *uint64 { return &l.coName }},
	{[2]uint64{296, 336}, func(l *layout) *uint64 { return &l.coQualname }},
	{[2]uint64{304, 344}, func(l *layout) *uint64 { return &l.coLines }},
	{[2]uint64{312, 352}, func(l *layout) *uint64 { return &l.coFirstline }},
	{[2]uint64{344, 384}, func(l *layout) *uint64 { return &l.coAdaptive }},
	{[2]uint64{560, 640}, func(l *layout) *uint64 { return &l.asciiSize }},
}

// describedBy replaces the table's offsets by those the interpreter publishes about itself.
func (l *layout) describedBy(r memory.Reader, runtimeAddr uint64) error {
	for _, d := range debugOffsets {
		v, err := memory.Uint64(r, runtimeAddr+d.at[l.minor-13])
		if err != nil {
			return fmt.Errorf("reading _Py_DebugOffsets: %w", err)
		}
		if v > maxOffset {
			return fmt.Errorf("reading _Py_DebugOffsets: offset %d is beyond %d", v, maxOffset)
		}
		*d.field(l) = v
	}
	heads := max(l.fBack, l.fCode, l.fLasti, l.fOwner, l.coFilename, l.coName, l.coQualname, l.coLines, l.coFirstline, l.asciiSize)
	if state := max(l.tsNext, l.tsThreadID, l.tsNativeID); state > maxState-8 {
		return fmt.Errorf("reading _Py_DebugOffsets: offset %d in a thread state is beyond %d", state, maxState-8)
	}
	if heads > maxHead {
		return fmt.Errorf("reading _Py_DebugOffsets: offset %d in a frame, code or string is beyond %d", heads, maxHead)
	}
	return nil
}
