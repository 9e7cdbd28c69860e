package appliance

import "netaudit/attribution/kernel/hook"

// openHook lets the kernel record callers where it can; without it the calling threads are searched for as ever.
func (a *Appliance) openHook() {
	if !a.config.KernelHook {
		a.log.Info("the kernel is not asked to record callers (kernel_hook: false)")
		return
	}
	h, err := hook.Open()
	if err != nil {
		a.log.Warn("calling threads are searched for", "error", err)
		return
	}
	a.hook = h
}

// closeHook takes the programs out of the kernel again.
func (a *Appliance) closeHook() error {
	if a.hook == nil {
		return nil
	}
	return a.hook.Close()
}
