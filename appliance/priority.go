package appliance

import (
	"errors"
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// Yield gives every thread of this process, and those that come from them, the given nice value (sched(7), 0 to 19): when processors are short Odoo goes first. On a host with two
// busy processors it halved what watching costs a request (make lab-cost). A value below that of a thread needs CAP_SYS_NICE.
func Yield(nice int) error {
	for changed := true; changed; { // a thread that began meanwhile may come from one that was not changed yet
		changed = false
		tasks, err := os.ReadDir("/proc/self/task")
		if err != nil {
			return fmt.Errorf("list threads: %w", err)
		}
		for _, task := range tasks {
			tid, err := strconv.Atoi(task.Name())
			if err != nil {
				continue // not a thread
			}
			now, err := unix.Getpriority(unix.PRIO_PROCESS, tid)
			if errors.Is(err, unix.ESRCH) || err == nil && 20-now == nice { // the system call itself counts from 20 downwards
				continue
			}
			if err == nil {
				err = unix.Setpriority(unix.PRIO_PROCESS, tid, nice)
			}
			if err != nil && !errors.Is(err, unix.ESRCH) {
				return fmt.Errorf("set nice value %d: %w", nice, err)
			}
			changed = true
		}
	}
	return nil
}
