package hook

import (
	"github.com/cilium/ebpf/asm"

	"netaudit/attribution/pystack"
)

// findThread follows the thread states of all interpreters to the one of the calling thread, then leaves its innermost frame in ctx. What cannot be found goes to done.
func (p *program) findThread() {
	p.add(asm.LoadMem(asm.R3, plan, planInterpreters, asm.DWord))
	p.fetch(ctx, "done")
	p.add(asm.Mov.Imm(asm.R5, 0), asm.StoreMem(asm.RFP, wordCount, asm.R5, asm.DWord))
	p.at("interpreter")
	p.add(asm.JEq.Imm(ctx, 0, "done"), asm.StoreMem(asm.RFP, wordInterp, ctx, asm.DWord))
	p.follow(ctx, ctx, planThreadsHead, "done")
	p.at("thread")
	p.add(asm.LoadMem(asm.R1, asm.RFP, wordCount, asm.DWord), asm.Add.Imm(asm.R1, 1), asm.StoreMem(asm.RFP, wordCount, asm.R1, asm.DWord), asm.JGT.Imm(asm.R1, maxThreads, "done"))
	p.add(asm.JNE.Imm(ctx, 0, "state"))
	p.add(asm.LoadMem(ctx, asm.RFP, wordInterp, asm.DWord))
	p.follow(ctx, ctx, planInterpNext, "done")
	p.add(asm.Ja.Label("interpreter"))

	p.at("state")
	p.follow(asm.R2, ctx, planThreadID, "done")
	p.add(asm.LoadMem(asm.R1, plan, planPthreadTID, asm.Word), asm.JEq.Imm(asm.R1, 0, "compare"))
	// To 3.10 this is a struct pthread. A thread that ended has none any more: the zero that is read then is no thread's id.
	p.add(asm.Add.Reg(asm.R2, asm.R1), asm.Mov.Reg(asm.R3, asm.R2))
	p.stackAddr(asm.R1, wordValue)
	p.add(asm.Mov.Imm(asm.R2, 8), asm.FnProbeReadUser.Call())
	p.at("compare")
	p.add(asm.LoadMem(asm.R2, asm.RFP, wordValue, asm.Word), asm.LoadMem(asm.R1, asm.RFP, wordTID, asm.Word), asm.JEq.Reg(asm.R1, asm.R2, "found"))
	p.follow(ctx, ctx, planThreadNext, "done")
	p.add(asm.Ja.Label("thread"))

	p.at("found")
	p.add(asm.StoreImm(record, offOutcome, outcomeUnreadable, asm.Word))
	p.follow(ctx, ctx, planTop, "done")
	p.add(asm.LoadMem(asm.R1, plan, planCFrame, asm.Word), asm.JEq.Imm(asm.R1, 0, "top"), asm.JEq.Imm(ctx, 0, "top"))
	p.add(asm.Sub.Imm(asm.R1, 1), asm.Mov.Reg(asm.R3, ctx), asm.Add.Reg(asm.R3, asm.R1))
	p.fetch(ctx, "done")
	p.at("top")
}

// recordFrames copies slots (pystack.SlotSize) from the innermost frame, in ctx, outwards.
func (p *program) recordFrames() {
	p.add(asm.Mov.Reg(slot, record), asm.Add.Imm(slot, callSize), asm.Mov.Imm(asm.R5, 0), asm.StoreMem(asm.RFP, wordCount, asm.R5, asm.DWord))
	p.at("frame")
	p.add(asm.JEq.Imm(ctx, 0, "whole"))
	p.add(asm.LoadMem(asm.R1, asm.RFP, wordCount, asm.DWord), asm.JGE.Imm(asm.R1, maxFrames, "deep"))
	p.add(asm.StoreMem(slot, 0, ctx, asm.DWord))
	p.add(asm.LoadMem(asm.R2, plan, planHead, asm.Word), asm.JGT.Imm(asm.R2, pystack.HeadSize, "done"))
	p.add(asm.Mov.Reg(asm.R1, slot), asm.Add.Imm(asm.R1, pystack.SlotHead), asm.Mov.Reg(asm.R3, ctx), asm.FnProbeReadUser.Call(), asm.JNE.Imm(asm.R0, 0, "done"))
	p.farFields()
	p.codeWords()
	p.argumentType()
	p.headWord(ctx, planBack)
	p.add(asm.Add.Imm(slot, pystack.SlotSize))
	p.add(asm.LoadMem(asm.R1, asm.RFP, wordCount, asm.DWord), asm.Add.Imm(asm.R1, 1), asm.StoreMem(asm.RFP, wordCount, asm.R1, asm.DWord), asm.StoreMem(record, offFrames, asm.R1, asm.Word))
	p.add(asm.Ja.Label("frame"))
	p.at("deep")
	p.add(asm.StoreImm(record, offOutcome, outcomeDeep, asm.Word), asm.Ja.Label("done"))
	p.at("whole")
	p.add(asm.StoreImm(record, offOutcome, outcomeWhole, asm.Word))
}

// headWord loads the word of the frame's head at the plan's offset.
func (p *program) headWord(to asm.Register, field int16) {
	p.add(asm.LoadMem(asm.R2, plan, field, asm.Word), asm.JGT.Imm(asm.R2, pystack.HeadSize-8, "done"))
	p.add(asm.Mov.Reg(asm.R1, slot), asm.Add.Reg(asm.R1, asm.R2), asm.LoadMem(to, asm.R1, pystack.SlotHead, asm.DWord))
}

// farFields reads what stands far behind in the frames of 3.8 to 3.10.
func (p *program) farFields() {
	const more, size, local = 56, 24, 80 // in the head, see pystack's slots
	p.add(asm.LoadMem(asm.R3, plan, planMoreAt, asm.Word), asm.JEq.Imm(asm.R3, 0, "near"), asm.Add.Reg(asm.R3, ctx))
	p.add(asm.Mov.Reg(asm.R1, slot), asm.Add.Imm(asm.R1, pystack.SlotHead+more), asm.Mov.Imm(asm.R2, size), asm.FnProbeReadUser.Call(), asm.JNE.Imm(asm.R0, 0, "done"))
	p.add(asm.LoadMem(asm.R3, plan, planLocalAt, asm.Word), asm.Add.Reg(asm.R3, ctx))
	p.add(asm.Mov.Reg(asm.R1, slot), asm.Add.Imm(asm.R1, pystack.SlotHead+local), asm.Mov.Imm(asm.R2, 8), asm.FnProbeReadUser.Call(), asm.JNE.Imm(asm.R0, 0, "done"))
	p.at("near")
}

// codeWords reads what tells this code object from a later one at the same address. A frame without code fails, and its words are zeros.
func (p *program) codeWords() {
	p.headWord(asm.R3, planCode)
	p.add(asm.LoadMem(asm.R2, plan, planTags, asm.DWord), asm.And.Reg(asm.R3, asm.R2), asm.LoadMem(asm.R2, plan, planWords, asm.Word), asm.Add.Reg(asm.R3, asm.R2))
	p.add(asm.Mov.Reg(asm.R1, slot), asm.Add.Imm(asm.R1, pystack.SlotWords), asm.Mov.Imm(asm.R2, pystack.WordsSize), asm.FnProbeReadUser.Call())
}

// argumentType reads the type of the object in the first local; a cell stands for what is in it.
func (p *program) argumentType() {
	const obType, obRef = 8, 16 // PyObject, PyCellObject
	p.headWord(asm.R3, planLocal)
	p.add(asm.LoadMem(asm.R2, plan, planTags, asm.DWord), asm.And.Reg(asm.R3, asm.R2), asm.StoreMem(asm.RFP, wordInterp, asm.R3, asm.DWord))
	p.read(slot, pystack.SlotType, 8, asm.R3, obType)
	p.add(asm.LoadMem(asm.R1, slot, pystack.SlotType, asm.DWord), asm.LoadMem(asm.R2, plan, planCell, asm.DWord))
	p.add(asm.JEq.Imm(asm.R1, 0, "typed"), asm.JNE.Reg(asm.R1, asm.R2, "typed"))
	p.add(asm.LoadMem(asm.R3, asm.RFP, wordInterp, asm.DWord))
	p.read(slot, pystack.SlotType, 8, asm.R3, obRef)
	p.add(asm.LoadMem(asm.R3, slot, pystack.SlotType, asm.DWord), asm.Mov.Imm(asm.R1, 0), asm.StoreMem(slot, pystack.SlotType, asm.R1, asm.DWord))
	p.read(slot, pystack.SlotType, 8, asm.R3, obType)
	p.at("typed")
}
