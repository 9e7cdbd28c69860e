package hook

import (
	"errors"
	"fmt"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/btf"
	"github.com/cilium/ebpf/link"
)

// attachFork loads the program that records who starts processes, at the tracepoint sched_process_fork.
func (h *Hook) attachFork(namespaces bool) error {
	task, err := taskOffsets()
	if err != nil {
		return err
	}
	return h.attachTracepoint("sched_process_fork", "netaudit_fork", onFork(&h.objects, task, namespaces))
}

// attachTracepoint loads a program and attaches it to a tracepoint.
func (h *Hook) attachTracepoint(tracepoint, name string, instructions asm.Instructions) error {
	program, err := ebpf.NewProgram(&ebpf.ProgramSpec{Name: name, Type: ebpf.RawTracepoint, Instructions: instructions, License: "GPL"})
	if err != nil {
		return fmt.Errorf("load the program %s: %w", name, err)
	}
	l, err := link.AttachRawTracepoint(link.RawTracepointOptions{Name: tracepoint, Program: program})
	if err != nil {
		return errors.Join(fmt.Errorf("attach the program %s to the tracepoint %s: %w", name, tracepoint, err), program.Close())
	}
	h.close = append(h.close, program.Close, l.Close)
	return nil
}

// task is where struct task_struct keeps the ids of a thread and of its process, in bytes; they differ between kernels.
type task struct{ pid, tgid int32 }

func taskOffsets() (t task, err error) {
	kernel, err := btf.LoadKernelSpec()
	if err != nil {
		return t, fmt.Errorf("read the kernel's description of itself: %w", err)
	}
	var s *btf.Struct
	if err := kernel.TypeByName("task_struct", &s); err != nil {
		return t, fmt.Errorf("look for task_struct: %w", err)
	}
	for _, m := range s.Members {
		switch m.Name {
		case "pid":
			t.pid = int32(m.Offset.Bytes())
		case "tgid":
			t.tgid = int32(m.Offset.Bytes())
		}
	}
	if t.pid == 0 || t.tgid == 0 {
		return t, errors.New("task_struct has no ids where they are looked for")
	}
	return t, nil
}

// onFork is the program for a thread that makes a process, which has not run yet. New threads are left out.
func onFork(o *objects, t task, namespaces bool) asm.Instructions {
	const child = 8 // second argument of the tracepoint
	p := &program{o: o}
	p.add(asm.Mov.Reg(ctx, asm.R1), asm.Mov.Imm(asm.R1, 0), asm.StoreMem(asm.RFP, wordCookie, asm.R1, asm.DWord), asm.StoreMem(asm.RFP, wordValue, asm.R1, asm.DWord))
	for _, id := range []struct{ word, offset int32 }{{wordValue, t.pid}, {wordCookie, t.tgid}} {
		p.stackAddr(asm.R1, id.word)
		p.add(asm.Mov.Imm(asm.R2, 4), asm.LoadMem(asm.R3, ctx, child, asm.DWord), asm.Add.Imm(asm.R3, id.offset), asm.FnProbeReadKernel.Call())
	}
	p.add(asm.LoadMem(asm.R1, asm.RFP, wordValue, asm.DWord), asm.LoadMem(asm.R2, asm.RFP, wordCookie, asm.DWord), asm.JEq.Reg(asm.R1, asm.R2, "process"))
	p.allow()
	p.at("process")
	p.recordCaller(func() { p.header(kindFork) }, namespaces, 0)
	return p.Instructions
}
