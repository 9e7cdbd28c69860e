package hook

import (
	"github.com/cilium/ebpf/asm"

	"netaudit/attribution/pystack"
)

// findThread follows the thread states of all interpreters to the one of the calling thread, then leaves its innermost frame in ctx. What cannot be found goes to done.
func (p *program) findThread() {
	p.add(asm.LoadMem(asm.R3, plan, planInterpreters, asm.DWord))
	p.fetch(ctx, "done")
	p.add(asm.StoreImm(record, offOutcome, outcomeNoThread, asm.Word))
	p.add(asm.Mov.Imm(asm.R1, 0), asm.StoreMem(asm.RFP, wordCount, asm.R1, asm.DWord))
	p.at("interpreter")
	p.add(asm.JEq.Imm(ctx, 0, "done"), asm.StoreMem(asm.RFP, wordInterp, ctx, asm.DWord))
	p.follow(planThreadsHead)
	p.at("thread")
	p.add(asm.LoadMem(asm.R1, asm.RFP, wordCount, asm.DWord), asm.Add.Imm(asm.R1, 1), asm.StoreMem(asm.RFP, wordCount, asm.R1, asm.DWord), asm.JGT.Imm(asm.R1, maxThreads, "done"))
	p.add(asm.JNE.Imm(ctx, 0, "state"))
	p.add(asm.LoadMem(ctx, asm.RFP, wordInterp, asm.DWord))
	p.follow(planInterpNext)
	p.add(asm.Ja.Label("interpreter"))

	p.at("state")
	p.window(asm.R1)
	p.add(asm.Mov.Imm(asm.R2, stateSize), asm.Mov.Reg(asm.R3, ctx), asm.FnProbeReadUser.Call(), asm.JNE.Imm(asm.R0, 0, "done"))
	p.window(asm.R5)
	p.load(asm.R4, asm.R5, planThreadID, stateSize, "done")
	p.add(asm.LoadMem(asm.R1, plan, planPthreadTID, asm.Word), asm.JEq.Imm(asm.R1, 0, "compare"))
	// To 3.10 this is a struct pthread. A thread that ended has none any more: the zero that is read then is no thread's id.
	p.add(asm.Mov.Reg(asm.R3, asm.R4), asm.Add.Reg(asm.R3, asm.R1))
	p.stackAddr(asm.R1, wordValue)
	p.add(asm.Mov.Imm(asm.R2, 8), asm.FnProbeReadUser.Call(), asm.LoadMem(asm.R4, asm.RFP, wordValue, asm.Word))
	p.at("compare")
	p.add(asm.LSh.Imm(asm.R4, 32), asm.RSh.Imm(asm.R4, 32)) // the field has 64 bits, thread ids 32
	p.window(asm.R5)
	p.add(asm.LoadMem(asm.R1, asm.RFP, wordTID, asm.Word), asm.JEq.Reg(asm.R1, asm.R4, "found"))
	p.load(ctx, asm.R5, planThreadNext, stateSize, "done")
	p.add(asm.Ja.Label("thread"))

	p.at("found")
	p.add(asm.StoreImm(record, offOutcome, outcomeUnreadable, asm.Word))
	p.load(ctx, asm.R5, planTop, stateSize, "done")
	p.add(asm.LoadMem(asm.R1, plan, planCFrame, asm.Word), asm.JEq.Imm(asm.R1, 0, "top"), asm.JEq.Imm(ctx, 0, "top"))
	p.add(asm.Sub.Imm(asm.R1, 1), asm.Mov.Reg(asm.R3, ctx), asm.Add.Reg(asm.R3, asm.R1))
	p.fetch(ctx, "done")
	p.at("top")
}

// follow replaces ctx by the pointer at the plan's field of what ctx points to.
func (p *program) follow(field int16) {
	p.add(asm.LoadMem(asm.R3, plan, field, asm.Word), asm.Add.Reg(asm.R3, ctx))
	p.fetch(ctx, "done")
}

// recordFrames fills slots (pystack.SlotSize) from the innermost frame, in ctx, outwards.
func (p *program) recordFrames() {
	p.add(asm.Mov.Reg(slot, record), asm.Add.Imm(slot, callSize), asm.Mov.Imm(asm.R1, 0))
	for _, word := range []int16{wordCount, wordStart, wordLength, wordLocal, wordType} {
		p.add(asm.StoreMem(asm.RFP, word, asm.R1, asm.DWord))
	}
	p.at("frame")
	p.add(asm.JEq.Imm(ctx, 0, "whole"))
	p.add(asm.LoadMem(asm.R1, asm.RFP, wordCount, asm.DWord), asm.JGE.Imm(asm.R1, maxFrames, "deep"))
	p.show()
	for _, f := range []struct{ field, to int16 }{
		{planCode, pystack.SlotCode}, {planGlobals, pystack.SlotGlobals}, {planLasti, pystack.SlotLasti}, {planState, pystack.SlotState},
	} {
		p.load(asm.R4, asm.R3, f.field, pystack.HeadSize, "done")
		p.add(asm.StoreMem(slot, f.to, asm.R4, asm.DWord))
	}
	p.add(asm.Mov.Reg(asm.R4, ctx), asm.LoadMem(asm.R1, plan, planHolder, asm.Word), asm.JEq.Imm(asm.R1, 0, "held"))
	p.add(asm.Sub.Imm(asm.R1, 1), asm.JGT.Imm(asm.R1, pystack.HeadSize-8, "done"), asm.Add.Reg(asm.R1, asm.R3), asm.LoadMem(asm.R4, asm.R1, 0, asm.DWord))
	p.at("held")
	p.add(asm.StoreMem(slot, pystack.SlotHolder, asm.R4, asm.DWord))
	p.load(ctx, asm.R3, planBack, pystack.HeadSize, "done")
	p.add(asm.LoadMem(asm.R2, plan, planLocal, asm.Word), asm.JGT.Imm(asm.R2, pystack.HeadSize-16, "done"), asm.Add.Reg(asm.R2, asm.R3))
	p.add(asm.LoadMem(asm.R1, asm.R2, 8, asm.DWord), asm.StoreMem(slot, pystack.SlotSecond, asm.R1, asm.DWord), asm.LoadMem(asm.R3, asm.R2, 0, asm.DWord))
	p.argumentType()
	p.add(asm.Add.Imm(slot, pystack.SlotSize))
	p.add(asm.LoadMem(asm.R1, asm.RFP, wordCount, asm.DWord), asm.Add.Imm(asm.R1, 1), asm.StoreMem(asm.RFP, wordCount, asm.R1, asm.DWord), asm.StoreMem(record, offFrames, asm.R1, asm.Word))
	p.add(asm.Ja.Label("frame"))
	p.at("deep")
	p.add(asm.StoreImm(record, offOutcome, outcomeDeep, asm.Word), asm.Ja.Label("done"))
	p.at("whole")
	p.add(asm.StoreImm(record, offOutcome, outcomeWhole, asm.Word))
}

// show puts the address of the frame's copy into R3. From 3.11 most frames follow one another in memory: a whole page of them is copied at once, from its beginning to the end of the frame, for those outside come before it.
func (p *program) show() {
	p.add(asm.LoadMem(asm.R2, plan, planHead, asm.Word), asm.JGT.Imm(asm.R2, pystack.HeadSize, "done"))
	p.add(asm.LoadMem(asm.R3, asm.RFP, wordStart, asm.DWord), asm.Mov.Reg(asm.R1, ctx), asm.Sub.Reg(asm.R1, asm.R3), asm.JGE.Imm(asm.R1, pageSize, "turn"))
	p.add(asm.Add.Reg(asm.R2, asm.R1), asm.LoadMem(asm.R3, asm.RFP, wordLength, asm.DWord), asm.JLE.Reg(asm.R2, asm.R3, "shown"))
	p.at("turn")
	p.add(asm.LoadMem(asm.R2, plan, planHead, asm.Word), asm.JGT.Imm(asm.R2, pystack.HeadSize, "done"))
	p.add(asm.Mov.Reg(asm.R1, ctx), asm.And.Imm(asm.R1, pageSize-1), asm.Add.Reg(asm.R2, asm.R1))
	p.add(asm.Mov.Reg(asm.R3, ctx), asm.Sub.Reg(asm.R3, asm.R1), asm.StoreMem(asm.RFP, wordStart, asm.R3, asm.DWord), asm.StoreMem(asm.RFP, wordLength, asm.R2, asm.DWord))
	p.window(asm.R1)
	p.add(asm.FnProbeReadUser.Call(), asm.JNE.Imm(asm.R0, 0, "done"))
	p.add(asm.Mov.Reg(asm.R1, ctx), asm.And.Imm(asm.R1, pageSize-1))
	p.at("shown")
	p.window(asm.R3)
	p.add(asm.Add.Reg(asm.R3, asm.R1))
}

// argumentType reads the type of the object in the first local, R3; a cell stands for what is in it. Neighbours often have the same object.
func (p *program) argumentType() {
	const obType, obRef = 8, 16 // PyObject, PyCellObject
	p.add(asm.StoreMem(slot, pystack.SlotLocal, asm.R3, asm.DWord), asm.LoadMem(asm.R2, plan, planTags, asm.DWord), asm.And.Reg(asm.R3, asm.R2))
	p.add(asm.LoadMem(asm.R1, asm.RFP, wordLocal, asm.DWord), asm.JEq.Reg(asm.R1, asm.R3, "typed"), asm.StoreMem(asm.RFP, wordLocal, asm.R3, asm.DWord))
	p.add(asm.JLT.Imm(asm.R3, pageSize, "untyped")) // no object; to try would cost a page fault
	p.add(asm.Add.Imm(asm.R3, obType))
	p.readType("untyped")
	p.add(asm.LoadMem(asm.R2, plan, planCell, asm.DWord), asm.JEq.Imm(asm.R2, 0, "typed"), asm.JNE.Reg(asm.R1, asm.R2, "typed"))
	p.add(asm.LoadMem(asm.R3, asm.RFP, wordLocal, asm.DWord), asm.Add.Imm(asm.R3, obRef))
	p.readType("untyped")
	p.add(asm.Mov.Reg(asm.R3, asm.R1), asm.Add.Imm(asm.R3, obType))
	p.readType("untyped")
	p.add(asm.Ja.Label("typed"))
	p.at("untyped")
	p.add(asm.Mov.Imm(asm.R1, 0), asm.StoreMem(asm.RFP, wordType, asm.R1, asm.DWord))
	p.at("typed")
	p.add(asm.LoadMem(asm.R1, asm.RFP, wordType, asm.DWord), asm.StoreMem(slot, pystack.SlotType, asm.R1, asm.DWord))
}

// readType reads the pointer at the address in R3 into the word for the type, and into R1.
func (p *program) readType(failed string) {
	p.stackAddr(asm.R1, wordType)
	p.add(asm.Mov.Imm(asm.R2, 8), asm.FnProbeReadUser.Call(), asm.JNE.Imm(asm.R0, 0, failed), asm.LoadMem(asm.R1, asm.RFP, wordType, asm.DWord))
}
