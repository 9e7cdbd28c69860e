package appliance

import (
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// counters describes what monitoring can ask for: the same numbers that heartbeat rows carry, without the wait.
var (
	packetsTotal   = prometheus.NewDesc("netaudit_packets_total", "Frames captured.", []string{"interface"}, nil)
	bytesTotal     = prometheus.NewDesc("netaudit_bytes_total", "Bytes of captured frames on the wire.", []string{"interface"}, nil)
	droppedTotal   = prometheus.NewDesc("netaudit_dropped_total", "Frames lost by kernel or interface.", []string{"interface"}, nil)
	freezesTotal   = prometheus.NewDesc("netaudit_ring_freezes_total", "How often the capture ring was full.", []string{"interface"}, nil)
	interfaceUp    = prometheus.NewDesc("netaudit_interface_up", "1 while the interface is being captured.", []string{"interface"}, nil)
	flowsTotal     = prometheus.NewDesc("netaudit_flows_total", "Flows opened.", []string{"interface"}, nil)
	evictedTotal   = prometheus.NewDesc("netaudit_flows_evicted_total", "Flows whose row was written early because the table was full.", []string{"interface"}, nil)
	malformedTotal = prometheus.NewDesc("netaudit_malformed_total", "Packets and messages that could not be read, by layer and reason.", []string{"reason"}, nil)
	clockSteps     = prometheus.NewDesc("netaudit_clock_steps_total", "Packets whose time lay more than 100 ms before an earlier one's.", nil, nil)
	unattributed   = prometheus.NewDesc("netaudit_unattributed_total", "Outbound flows whose owner stayed unknown.", nil, nil)
	notAsked       = prometheus.NewDesc("netaudit_attribution_queue_full_total", "Owners that were never asked for because the queue was full.", nil, nil)
	callersTotal   = prometheus.NewDesc("netaudit_kernel_callers_total", "Calls whose caller the kernel recorded.", nil, nil)
	callersLost    = prometheus.NewDesc("netaudit_kernel_callers_lost_total", "Records of callers for which the kernel's ring had no room.", nil, nil)
	endedEarly     = prometheus.NewDesc("netaudit_processes_ended_early_total", "Python processes that were over before the kernel could be told to record them.", nil, nil)
	eventsLost     = prometheus.NewDesc("netaudit_process_events_lost_total", "How often the kernel told of processes faster than could be read; all were looked at anew.", nil, nil)
	rowsTotal      = prometheus.NewDesc("netaudit_ledger_rows_total", "Sealed rows.", nil, nil)
)

// meter reads the running appliance's counters. Safe for concurrent use.
type meter struct{ a *Appliance }

// metrics serves the counters in the format of Prometheus (https://prometheus.io/docs/instrumenting/exposition_formats/).
func (a *Appliance) metrics() http.Handler {
	registry := prometheus.NewRegistry()
	registry.MustRegister(meter{a})
	return promhttp.HandlerFor(registry, promhttp.HandlerOpts{})
}

// Describe implements prometheus.Collector.
func (meter) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		packetsTotal, bytesTotal, droppedTotal, freezesTotal, interfaceUp, flowsTotal, evictedTotal, malformedTotal, clockSteps, unattributed, notAsked, callersTotal, callersLost, endedEarly, eventsLost, rowsTotal,
	} {
		ch <- d
	}
}

// perInterface adds up what the workers of one interface counted.
type perInterface struct{ packets, bytes, dropped, freezes, up, flows, evicted float64 }

// Collect implements prometheus.Collector.
func (m meter) Collect(ch chan<- prometheus.Metric) {
	interfaces := map[string]*perInterface{}
	reasons := map[string]uint64{}
	var steps, unknown, never uint64
	for i, w := range m.a.watchers {
		p := interfaces[w.name]
		if p == nil {
			p = &perInterface{up: 1}
			interfaces[w.name] = p
		}
		s := w.source.Stats()
		p.packets += float64(s.Packets)
		p.bytes += float64(s.Bytes)
		p.dropped += float64(s.KernelDropped + s.IfaceDropped)
		p.freezes += float64(s.Freezes)
		if !s.InterfaceUp {
			p.up = 0
		}
		r := m.a.recorders[i].Stats()
		p.flows += float64(r.Opened)
		unknown += r.Unattributed
		never += r.NotAsked
		if seen := w.seen.Load(); seen != nil {
			p.evicted += float64(seen.Evicted)
			steps += seen.ClockSteps
			for why, n := range seen.Malformed {
				reasons[why] += n
			}
		}
	}
	count := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, v, labels...)
	}
	for name, p := range interfaces {
		count(packetsTotal, p.packets, name)
		count(bytesTotal, p.bytes, name)
		count(droppedTotal, p.dropped, name)
		count(freezesTotal, p.freezes, name)
		count(flowsTotal, p.flows, name)
		count(evictedTotal, p.evicted, name)
		ch <- prometheus.MustNewConstMetric(interfaceUp, prometheus.GaugeValue, p.up, name)
	}
	for why, n := range reasons {
		count(malformedTotal, float64(n), why)
	}
	count(clockSteps, float64(steps))
	count(unattributed, float64(unknown))
	count(notAsked, float64(never))
	if m.a.hook != nil {
		s := m.a.hook.Stats()
		count(callersTotal, float64(s.Calls))
		count(callersLost, float64(s.Lost))
	}
	if m.a.resolver != nil {
		s := m.a.resolver.Stats()
		count(endedEarly, float64(s.EndedEarly))
		count(eventsLost, float64(s.EventsLost))
	}
	count(rowsTotal, float64(m.a.ledger.Size()))
}
