package hook

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/btf"
	"github.com/cilium/ebpf/features"

	"netaudit/attribution/pystack"
)

// The record of a machine stack comes just before that of its call.
const (
	offNativeLength = 4  // u32, bytes of the stack
	offNativePID    = 8  // u64, process id << 32 | thread id
	offNativeCookie = 16 // u64
	nativeHeader    = 24

	maxNative = 16 << 10 // bytes of a stack from its innermost end: what an addon's code calls until connect(2) takes some 2 to 6 KiB of C frames
	minNative = 1 << 10
)

// pointerOffset is where the registers of a thread in the kernel keep its stack pointer. It is 0 where programs may not look at them (before Linux 5.15).
func pointerOffset() int32 {
	for _, helper := range []asm.BuiltinFunc{asm.FnGetCurrentTaskBtf, asm.FnTaskPtRegs} {
		if features.HaveProgramHelper(ebpf.CGroupSockAddr, helper) != nil {
			return 0
		}
	}
	kernel, err := btf.LoadKernelSpec()
	if err != nil {
		return 0
	}
	var s *btf.Struct
	if kernel.TypeByName("pt_regs", &s) != nil {
		return 0
	}
	for _, m := range s.Members {
		if m.Name == "sp" {
			return int32(m.Offset.Bytes())
		}
	}
	return 0
}

// recordNative hands over the innermost part of the calling thread's machine stack if the plan asks for it.
func (p *program) recordNative(pointer int32) {
	p.add(asm.LoadMem(asm.R1, plan, planNative, asm.Word), asm.JEq.Imm(asm.R1, 0, "no_native"))
	p.add(asm.FnGetCurrentTaskBtf.Call(), asm.Mov.Reg(asm.R1, asm.R0), asm.FnTaskPtRegs.Call(), asm.Mov.Reg(asm.R3, asm.R0), asm.Add.Imm(asm.R3, pointer))
	p.stackAddr(asm.R1, wordValue)
	p.add(asm.Mov.Imm(asm.R2, 8), asm.FnProbeReadKernel.Call(), asm.JNE.Imm(asm.R0, 0, "no_native"))
	p.add(asm.Mov.Reg(slot, record), asm.Add.Imm(slot, scratchNative-scratchRecord))
	for size := int32(maxNative); size >= minNative; size /= 2 { // a stack may be shorter
		shorter := p.unique("shorter")
		p.add(asm.Mov.Reg(asm.R1, slot), asm.Add.Imm(asm.R1, nativeHeader), asm.Mov.Imm(asm.R2, size), asm.LoadMem(asm.R3, asm.RFP, wordValue, asm.DWord))
		p.add(asm.FnProbeReadUser.Call(), asm.JNE.Imm(asm.R0, 0, shorter))
		p.add(asm.Mov.Imm(asm.R1, size), asm.StoreMem(asm.RFP, wordCount, asm.R1, asm.DWord), asm.Ja.Label("native_read"))
		p.at(shorter)
	}
	p.add(asm.Ja.Label("no_native"))

	p.at("native_read")
	p.add(asm.StoreImm(slot, offKind, kindNative, asm.Word), asm.LoadMem(asm.R1, asm.RFP, wordCount, asm.DWord), asm.StoreMem(slot, offNativeLength, asm.R1, asm.Word))
	p.add(asm.LoadMem(asm.R1, asm.RFP, wordPIDTID, asm.DWord), asm.StoreMem(slot, offNativePID, asm.R1, asm.DWord))
	p.add(asm.LoadMem(asm.R1, asm.RFP, wordCookie, asm.DWord), asm.StoreMem(slot, offNativeCookie, asm.R1, asm.DWord))
	p.wakeUp(asm.R4)
	p.add(asm.LoadMem(asm.R3, asm.RFP, wordCount, asm.DWord), asm.JGT.Imm(asm.R3, maxNative, "no_native"), asm.Add.Imm(asm.R3, nativeHeader))
	p.add(asm.LoadMapPtr(asm.R1, p.o.ring.FD()), asm.Mov.Reg(asm.R2, slot), asm.FnRingbufOutput.Call(), asm.JEq.Imm(asm.R0, 0, "no_native"))
	p.count()
	p.at("no_native")
}

// WithNative lets the innermost part of the machine stack be recorded as well from now on, for a process that was announced under this serial.
func (h *Hook) WithNative(pid int, serial uint64, w pystack.WalkPlan) error {
	if h.objects.pointer == 0 {
		return errors.ErrUnsupported
	}
	return h.put(pid, serial, &w, true)
}

// machineStack is one on its way to its call.
type machineStack struct {
	pid, tid int
	cookie   uint64
	stack    []byte
}

func parseNative(b []byte) (n machineStack, err error) {
	if len(b) < nativeHeader {
		return n, fmt.Errorf("a record of a machine stack has %d bytes", len(b))
	}
	length, id := uint64(binary.NativeEndian.Uint32(b[offNativeLength:])), binary.NativeEndian.Uint64(b[offNativePID:])
	if length > maxNative || nativeHeader+length > uint64(len(b)) {
		return n, fmt.Errorf("a record of %d bytes says it has %d of a machine stack", len(b), length)
	}
	n = machineStack{int(id >> 32), int(uint32(id)), binary.NativeEndian.Uint64(b[offNativeCookie:]), bytes.Clone(b[nativeHeader : nativeHeader+length])}
	return n, nil
}
