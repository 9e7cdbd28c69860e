package kernel

// waits maps system call numbers of x86-64 (arch/x86/entry/syscalls/syscall_64.tbl) to how they name what they wait for.
var waits = map[int]int{
	0: waitFD, 1: waitFD, 19: waitFD, 20: waitFD, 42: waitFD, 44: waitFD, 45: waitFD, 46: waitFD, 47: waitFD, 40: waitFD, 299: waitFD, 307: waitFD,
	7: waitPoll, 271: waitPoll, 23: waitSelect, 270: waitSelect, 61: waitChild, 247: waitChildID,
}
