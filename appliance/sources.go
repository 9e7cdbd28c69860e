package appliance

import (
	"errors"
	"fmt"
	"os"

	"netaudit/tap"
)

// openSources opens a capture on every configured interface, or on every one that is up and has an address.
func (a *Appliance) openSources() ([]liveSource, error) {
	names := a.config.Interfaces
	if len(names) == 0 {
		var err error
		if names, err = watchableInterfaces(a.config.NetNS); err != nil {
			return nil, err
		}
	}
	var list []liveSource
	for i, name := range names {
		c := tap.LiveConfig{
			Iface: name, NetNS: a.config.NetNS, Filter: a.config.Filter, Ring: a.config.Capture == CaptureRing,
			Promiscuous: a.config.Install == InstallMirror, Logger: a.log,
		}
		if a.config.Workers > 1 {
			c.Fanout = fanoutGroup(i)
		}
		for range a.config.Workers {
			s, err := tap.OpenLive(c)
			if err != nil {
				closeSources(list, a.log)
				return nil, err
			}
			list = append(list, liveSource{name: name, source: s})
		}
	}
	return list, nil
}

// fanoutGroup is a number for the workers of the i-th interface. The kernel knows groups by number across all processes: two that take the same one would
// share frames, so it comes from the process id.
func fanoutGroup(i int) uint16 {
	return max(1, uint16(os.Getpid()*mostWorkers+i))
}

// watchableInterfaces are those that are up and carry an address. A bridge's or bond's members have none: watching them too
// would show every packet twice.
func watchableInterfaces(netnsPath string) ([]string, error) {
	var names []string
	err := tap.InNamespace(netnsPath, func() error {
		list, err := tap.Interfaces()
		if err != nil {
			return err
		}
		for _, i := range list {
			if i.Up && len(i.Addresses) > 0 {
				names = append(names, i.Name)
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list the interfaces: %w", err)
	}
	if len(names) == 0 {
		return nil, errors.New("no interface is up and has an address: name one with --interface, or bring one up (ip link set eth0 up)")
	}
	return names, nil
}
